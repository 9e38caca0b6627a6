//! Every action, every kind of actor, against a committed table.

use std::fmt::Write as _;

use super::*;

const HOME: &str = "acme/ml";
const SECRET: &str = "acme/ml/team/hf";
const THERE: &str = "default/web";
const OLGA: Subject = Subject::User(uid(2));
/// In the order of the design's table of roles.
const COLUMNS: [ActionKind; 9] = [
    ActionKind::List,
    ActionKind::Read,
    ActionKind::Create,
    ActionKind::Update,
    ActionKind::Delete,
    ActionKind::Use,
    ActionKind::Share,
    ActionKind::Administer,
    ActionKind::Audit,
];

/// If you're here because this failed: what somebody may do has changed. When that was meant, check
/// each cell that differs against section 6 of the design, run the test again with
/// `TRESOR_BLESS=1`, and commit the table.
#[test]
fn every_action_and_every_actor_as_in_the_committed_table() {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/src/decide/golden.txt");
    let drawn = drawn();
    if std::env::var_os("TRESOR_BLESS").is_some() {
        std::fs::write(file, &drawn).unwrap();
    }
    let committed = std::fs::read_to_string(file).unwrap_or_default();
    for (number, (committed, drawn)) in committed.lines().zip(drawn.lines()).enumerate() {
        assert_eq!(committed, drawn, "line {} of {file}", number + 1);
    }
    assert!(committed == drawn, "{file} has other lines");
}

fn actors() -> Vec<(&'static str, Actor)> {
    let writers = Held { right: right(Role::Writer, at(HOME)), group: Some(Arc::from("writers")) };
    let admin_with = |narrowing| alice_with(Role::Admin, at(""), narrowing);
    let admin = || directly([right(Role::Admin, at(""))]);
    vec![
        ("stranger", stranger()),
        ("viewer", alice(Role::Viewer, at(HOME))),
        ("contributor", alice(Role::Contributor, at(HOME))),
        ("writer", alice(Role::Writer, at(HOME))),
        ("manager", alice(Role::Manager, at(HOME))),
        ("owner of the project", alice(Role::Owner, at(HOME))),
        ("owner of the secret, no member", someone(OLGA, Vec::new(), None)),
        ("read on the secret", alice(Role::Read, one(SECRET, 5))),
        ("write on the secret", alice(Role::Write, one(SECRET, 5))),
        ("manage on the secret", alice(Role::Manage, one(SECRET, 5))),
        ("manage on its name", alice(Role::Manage, at(SECRET))),
        ("write on the prefix", alice(Role::Write, at("acme/ml/team"))),
        ("group that is writer", someone(ALICE, vec![writers], None)),
        ("owner of the organization", alice(Role::Owner, at("acme"))),
        ("viewer in web", alice(Role::Viewer, at(THERE))),
        ("contributor in web", alice(Role::Contributor, at(THERE))),
        ("owner of web", alice(Role::Owner, at(THERE))),
        ("readonly-admin", alice(Role::ReadonlyAdmin, at(""))),
        ("auditor", alice(Role::Auditor, at(""))),
        ("admin", alice(Role::Admin, at(""))),
        ("admin, expired", someone(ALICE, admin(), Some(token(narrowed(None, None), Some(NOW))))),
        ("admin, narrowed to web", admin_with(narrowed(Some(&[THERE]), None))),
        ("admin, narrowed to list", admin_with(narrowed(None, Some(&[ActionKind::List])))),
        ("sync worker", Actor::sync_worker()),
        ("operator", Actor::operator()),
    ]
}

fn drawn() -> String {
    let mut text = "\
# Who may do what with acme/ml/team/hf, which somebody owns and which is bound to default/web, and
# with what lies above it. Made with TRESOR_BLESS=1 by the test in tests/matrix.rs.
#
# x allowed, 401 expired, 403 forbidden, 404 not visible
"
    .to_owned();
    let secret_itself = known(SECRET, 5, Some(OLGA));
    let by_action = |title, told: &dyn Fn(&Actor, ActionKind) -> Told| {
        let columns = COLUMNS.map(ActionKind::as_str);
        table(title, &columns, |actor, column| told(actor, COLUMNS[column]))
    };
    text += &by_action("the secret", &|actor, action| told_known(actor, action, &secret_itself));
    text += &table(
        "use of it in web",
        &["bound by its owner", "bound for members"],
        |actor, column| {
            let kind = [BindingKind::Owner, BindingKind::Members][column];
            told_use(actor, &secret_itself, THERE, kind)
        },
    );
    text += &by_action("a name that no secret has", &|actor, action| {
        told(actor, action, &secret("acme/ml/team/new"))
    });
    text += &by_action("the project", &|actor, action| told(actor, action, &project(HOME)));
    text += &table(
        "a look at the project",
        &["that it is there", "what may be listed in it"],
        |actor, column| match column {
            0 => told(actor, ActionKind::List, &SeenProject(project(HOME))),
            _ => told(actor, ActionKind::List, &PartOfProject(project(HOME))),
        },
    );
    text += &by_action("the organization", &|actor, action| told(actor, action, &org("acme")));
    text += &by_action("the default organization", &|actor, action| {
        told(actor, action, &OrgName::default_org())
    });
    text += &by_action("the whole store", &|actor, action| told(actor, action, &WholeStore));
    text
}

fn table(title: &str, columns: &[&str], told: impl Fn(&Actor, usize) -> Told) -> String {
    let mut text = format!("\n{title:31}");
    for column in columns {
        write!(text, " {column}").unwrap();
    }
    for (name, actor) in actors() {
        let mut line = format!("{name:31}");
        for (number, column) in columns.iter().enumerate() {
            let cell = match told(&actor, number) {
                Ok(_) => "x",
                Err(Denied::Expired) => "401",
                Err(Denied::Forbidden) => "403",
                Err(Denied::NotVisible) => "404",
            };
            write!(line, " {cell:width$}", width = column.len()).unwrap();
        }
        text = text + "\n" + line.trim_end();
    }
    text + "\n"
}
