//! Whom a right, an ownership or a token lets do what, rule by rule.

use super::*;

#[test]
fn a_role_in_one_project_reaches_no_other_not_even_one_that_starts_alike() {
    let writer = alice(Role::Writer, at("default/ml"));
    assert_eq!(told(&writer, ActionKind::Read, &secret("default/ml/hf")), YES);
    for other in ["default/ml2", "default/m", "default/ML", "acme/ml"] {
        let inside = secret(&format!("{other}/hf"));
        assert_eq!(told(&writer, ActionKind::Read, &inside), NOT_VISIBLE, "{other}");
        assert_eq!(told(&writer, ActionKind::List, &project(other)), NOT_VISIBLE, "{other}");
    }
    assert_eq!(told(&writer, ActionKind::Administer, &WholeStore), FORBIDDEN);
}

#[test]
fn who_may_list_is_told_no_and_who_may_not_is_told_nothing() {
    let hf = secret("default/ml/hf");
    let viewer = alice(Role::Viewer, at("default/ml"));
    assert_eq!(told(&viewer, ActionKind::Read, &hf), FORBIDDEN);
    let contributor = alice(Role::Contributor, at("default/ml"));
    assert_eq!(told(&contributor, ActionKind::Create, &hf), YES);
    assert_eq!(told(&contributor, ActionKind::Read, &hf), NOT_VISIBLE);
}

#[test]
fn whether_a_secret_exists_makes_no_difference_to_who_may_not_list_it() {
    let contributor = alice(Role::Contributor, at("default/ml"));
    for action in [ActionKind::List, ActionKind::Read, ActionKind::Delete, ActionKind::Share] {
        let owned = known("default/ml/hf", 5, Some(Subject::User(uid(2))));
        assert_eq!(told_known(&contributor, action, &owned), NOT_VISIBLE);
        assert_eq!(told(&contributor, action, &owned.path), NOT_VISIBLE);
    }
}

#[test]
fn a_member_is_told_no_about_the_project_and_everybody_about_store_and_default_organization() {
    let (ml, acme) = (project("acme/ml"), org("acme"));
    for role in [Role::Contributor, Role::Viewer, Role::Read] {
        assert_eq!(told(&alice(role, at("acme/ml")), ActionKind::Delete, &ml), FORBIDDEN);
        let below = alice(role, at("acme/ml/team"));
        assert_eq!(told(&below, ActionKind::Delete, &ml), NOT_VISIBLE, "not a member");
    }
    let stranger = stranger();
    assert_eq!(told(&stranger, ActionKind::List, &ml), NOT_VISIBLE);
    assert_eq!(told(&stranger, ActionKind::List, &acme), NOT_VISIBLE);
    assert_eq!(told(&stranger, ActionKind::List, &org("default")), FORBIDDEN);
    assert_eq!(told(&stranger, ActionKind::List, &WholeStore), FORBIDDEN);
    let viewer = alice(Role::Viewer, at("acme"));
    assert_eq!(told(&viewer, ActionKind::Administer, &acme), FORBIDDEN);
    assert_eq!(told(&alice(Role::Viewer, at("acme/ml")), ActionKind::List, &acme), NOT_VISIBLE);
}

#[test]
fn a_token_ends_at_its_expiry_and_not_later() {
    let held = || directly([right(Role::Admin, Scope::WholeStore)]);
    let until = |expires| someone(ALICE, held(), Some(token(Narrowing::default(), Some(expires))));
    let all = |actor: &Actor| {
        let hf = known("default/ml/hf", 5, Some(ALICE));
        [
            told(actor, ActionKind::Read, &hf.path),
            told(actor, ActionKind::List, &SeenProject(project("default/ml"))),
            told_known(actor, ActionKind::Read, &hf),
            told_use(actor, &hf, "default/web", BindingKind::Members).map(|_| None),
        ]
    };
    assert_eq!(all(&until(Timestamp::from_unix_millis(1001))), [YES; 4]);
    assert_eq!(all(&until(NOW)), [EXPIRED; 4]);
    assert_eq!(all(&until(Timestamp::from_unix_millis(999))), [EXPIRED; 4]);
    assert_eq!(all(&someone(ALICE, held(), None)), [YES; 4]);
}

#[test]
fn the_sync_worker_reads_and_changes_nothing() {
    let worker = Actor::sync_worker();
    let reads = [ActionKind::List, ActionKind::Read];
    assert_eq!(allowed(&worker, &WholeStore), reads);
    assert_eq!(allowed(&worker, &org("acme")), reads);
    assert_eq!(allowed(&worker, &project("acme/ml")), reads);
    assert_eq!(allowed(&worker, &secret("acme/ml/hf")), reads);
    assert_eq!(allowed_known(&worker, &known("acme/ml/hf", 5, None)), reads);
    assert_eq!(allowed(&worker, &SeenProject(project("acme/ml"))), reads);
    assert_eq!(allowed(&worker, &PartOfProject(project("acme/ml"))), reads);
    for kind in [BindingKind::Owner, BindingKind::Members] {
        let hf = known("acme/ml/hf", 5, None);
        assert_eq!(told_use(&worker, &hf, "default/web", kind), FORBIDDEN);
    }
}

#[test]
fn the_operator_may_everything() {
    let operator = Actor::operator();
    assert_eq!(allowed(&operator, &WholeStore), ActionKind::ALL);
    assert_eq!(allowed(&operator, &org("acme")), ActionKind::ALL);
    assert_eq!(allowed(&operator, &project("acme/ml")), ActionKind::ALL);
    assert_eq!(allowed(&operator, &secret("acme/ml/hf")), ActionKind::ALL);
    assert_eq!(allowed_known(&operator, &known("acme/ml/hf", 5, None)), ActionKind::ALL);
    assert_eq!(allowed(&operator, &SeenProject(project("acme/ml"))), ActionKind::ALL);
    assert_eq!(allowed(&operator, &PartOfProject(project("acme/ml"))), ActionKind::ALL);
}

#[test]
fn a_token_narrowed_to_a_project_is_good_for_nothing_else_not_even_what_lies_above() {
    let narrow = || narrowed(Some(&["acme/ml"]), None);
    let admin = alice_with(Role::Admin, Scope::WholeStore, narrow());
    assert_eq!(allowed(&admin, &project("acme/ml")), ActionKind::ALL);
    assert_eq!(allowed(&admin, &secret("acme/ml/team/hf")), ActionKind::ALL);
    assert_eq!(told(&admin, ActionKind::List, &SeenProject(project("acme/ml"))), YES);
    assert_eq!(told(&admin, ActionKind::Read, &secret("acme/ml2/hf")), NOT_VISIBLE);
    assert_eq!(told(&admin, ActionKind::List, &project("default/ml")), NOT_VISIBLE);
    assert_eq!(told(&admin, ActionKind::List, &SeenProject(project("default/ml"))), NOT_VISIBLE);
    assert_eq!(told(&admin, ActionKind::List, &PartOfProject(project("acme/ml2"))), NOT_VISIBLE);
    assert_eq!(told(&admin, ActionKind::List, &org("acme")), NOT_VISIBLE);
    assert_eq!(told(&admin, ActionKind::List, &org("default")), FORBIDDEN);
    assert_eq!(told(&admin, ActionKind::List, &WholeStore), FORBIDDEN);
    let owner = someone(ALICE, Vec::new(), Some(token(narrow(), None)));
    let (inside, outside) =
        (known("acme/ml/hf", 5, Some(ALICE)), known("acme/web/hf", 6, Some(ALICE)));
    assert_eq!(told_known(&owner, ActionKind::Read, &inside), Ok(Some(uid(5))));
    assert_eq!(told_known(&owner, ActionKind::Read, &outside), NOT_VISIBLE);
}

#[test]
fn a_token_narrowed_to_actions_is_good_for_no_other_and_to_none_for_nothing() {
    let lists = narrowed(None, Some(&[ActionKind::List]));
    let admin = alice_with(Role::Admin, Scope::WholeStore, lists);
    assert_eq!(allowed(&admin, &WholeStore), [ActionKind::List]);
    assert_eq!(allowed(&admin, &org("acme")), [ActionKind::List]);
    assert_eq!(allowed(&admin, &secret("acme/ml/hf")), [ActionKind::List]);
    assert_eq!(told(&admin, ActionKind::Read, &secret("acme/ml/hf")), FORBIDDEN);
    let reads = narrowed(None, Some(&[ActionKind::Read]));
    let owner = someone(ALICE, Vec::new(), Some(token(reads, None)));
    let hf = known("acme/ml/hf", 5, Some(ALICE));
    assert_eq!(allowed_known(&owner, &hf), [ActionKind::Read]);
    assert_eq!(told_known(&owner, ActionKind::Delete, &hf), NOT_VISIBLE, "it may not list");
    let nothing = alice_with(Role::Admin, Scope::WholeStore, narrowed(None, Some(&[])));
    assert_eq!(allowed(&nothing, &secret("acme/ml/hf")), []);
    let nowhere = alice_with(Role::Admin, Scope::WholeStore, narrowed(Some(&[]), None));
    assert_eq!(allowed(&nowhere, &secret("acme/ml/hf")), []);
    assert_eq!(allowed(&nowhere, &WholeStore), []);
}

#[test]
fn a_token_narrowed_to_projects_and_actions_must_leave_both() {
    let both = narrowed(Some(&["acme/ml"]), Some(&[ActionKind::List, ActionKind::Read]));
    let writer = alice_with(Role::Writer, at("acme"), both);
    assert_eq!(allowed(&writer, &secret("acme/ml/hf")), [ActionKind::List, ActionKind::Read]);
    assert_eq!(allowed(&writer, &secret("acme/web/hf")), []);
    assert_eq!(allowed(&writer, &org("acme")), []);
    let hf = known("acme/ml/hf", 5, Some(ALICE));
    assert_eq!(allowed_known(&writer, &hf), [ActionKind::List, ActionKind::Read]);
}

#[test]
fn an_owner_without_membership_has_everything_on_that_secret_and_nothing_else() {
    let owner = stranger();
    let hf = known("acme/ml/team/hf", 5, Some(ALICE));
    let all_but_audit: Vec<_> =
        ActionKind::ALL.into_iter().filter(|action| *action != ActionKind::Audit).collect();
    assert_eq!(allowed_known(&owner, &hf), all_but_audit);
    assert_eq!(told_known(&owner, ActionKind::Audit, &hf), FORBIDDEN);
    let others = [
        known("acme/ml/team/hf", 6, Some(Subject::User(uid(2)))),
        known("acme/ml/team/hf/below", 7, None),
        known("acme/ml/other", 8, Some(Subject::Machine(uid(1)))),
    ];
    for other in others {
        assert_eq!(allowed_known(&owner, &other), [], "{other:?}");
        assert_eq!(told(&owner, ActionKind::Create, &other.path), NOT_VISIBLE);
    }
    assert_eq!(allowed(&owner, &hf.path), [], "not by its name");
    assert_eq!(allowed(&owner, &hf.path.project), []);
    assert_eq!(allowed(&owner, &SeenProject(hf.path.project.clone())), []);
    assert_eq!(allowed(&owner, &PartOfProject(hf.path.project)), []);
}

#[test]
fn a_secret_that_nobody_owns_is_not_the_system_actors_either() {
    let hf = known("acme/ml/hf", 5, None);
    assert_eq!(told_known(&Actor::sync_worker(), ActionKind::Delete, &hf), FORBIDDEN);
    assert_eq!(told_known(&stranger(), ActionKind::List, &hf), NOT_VISIBLE);
}

#[test]
fn grants_on_one_secret_hold_for_it_and_never_by_its_name() {
    use ActionKind::{Delete, List, Read, Share, Update, Use};
    let hf = known("acme/ml/team/hf", 5, None);
    let reborn = known("acme/ml/team/hf", 6, None);
    let grants: [(_, &[ActionKind]); 3] = [
        (Role::Read, &[List, Read, Use]),
        (Role::Write, &[List, Read, Update, Use]),
        (Role::Manage, &[Delete, List, Read, Share, Update, Use]),
    ];
    for (role, actions) in grants {
        let grantee = alice(role, one("acme/ml/team/hf", 5));
        assert_eq!(allowed_known(&grantee, &hf), actions, "{role}");
        assert_eq!(told_known(&grantee, ActionKind::Create, &hf), FORBIDDEN, "{role}");
        assert_eq!(allowed_known(&grantee, &reborn), [], "{role}");
        assert_eq!(allowed(&grantee, &hf.path), [], "{role}");
        assert_eq!(allowed(&grantee, &at("acme/ml/team/hf")), [], "{role}");
        assert_eq!(allowed(&grantee, &one("acme/ml/team/hf", 5)), actions, "{role}");
        assert_eq!(allowed(&grantee, &secret("acme/ml/team/hf/below")), [], "{role}");
    }
}

#[test]
fn grants_on_a_prefix_end_at_a_slash() {
    let grantee = alice(Role::Write, at("acme/ml/team"));
    let actions = [ActionKind::List, ActionKind::Read, ActionKind::Update, ActionKind::Use];
    for inside in ["acme/ml/team", "acme/ml/team/hf", "acme/ml/team/a/b"] {
        assert_eq!(allowed(&grantee, &secret(inside)), actions, "{inside}");
    }
    for outside in
        ["acme/ml/team2", "acme/ml/tea", "acme/ml/Team/hf", "acme/ml/a/team", "acme/ml2/team/hf"]
    {
        assert_eq!(allowed(&grantee, &secret(outside)), [], "{outside}");
    }
    assert_eq!(allowed(&grantee, &project("acme/ml")), []);
    let of_one_name = alice(Role::Write, at("acme/ml/team/hf"));
    assert_eq!(allowed(&of_one_name, &secret("acme/ml/team")), [], "not what lies above");
}

#[test]
fn grants_on_a_project_an_organization_and_the_store_reach_what_lies_below() {
    let places = ["", "acme", "acme/ml", "acme/ml/hf", "acme/web", "default/ml", "default/ml/hf"];
    for (scope, reached) in [
        ("acme/ml", &["acme/ml", "acme/ml/hf"][..]),
        ("acme", &["acme", "acme/ml", "acme/ml/hf", "acme/web"]),
        ("", &places),
    ] {
        for role in [Role::Read, Role::Write, Role::Manage, Role::Owner] {
            let grantee = alice(role, at(scope));
            let actions: Vec<_> = role.actions().collect();
            for place in places {
                let expected = if reached.contains(&place) { &actions[..] } else { &[] };
                assert_eq!(allowed(&grantee, &at(place)), expected, "{role} {scope} {place}");
            }
        }
    }
}

#[test]
fn rights_add_up() {
    let held = directly([right(Role::Viewer, at("acme")), right(Role::Write, at("acme/ml/team"))]);
    let both = someone(ALICE, held, None);
    assert_eq!(told(&both, ActionKind::Update, &secret("acme/ml/team/hf")), YES);
    assert_eq!(told(&both, ActionKind::Update, &secret("acme/ml/hf")), FORBIDDEN);
}

#[test]
fn a_project_is_seen_by_its_members_whatever_their_role_allows() {
    let seen = SeenProject(project("acme/ml"));
    for role in [Role::Contributor, Role::Manager, Role::Viewer, Role::Read] {
        for scope in ["acme/ml", "acme", ""] {
            assert_eq!(told(&alice(role, at(scope)), ActionKind::List, &seen), YES, "{role}");
        }
        for scope in [at("acme/ml/team"), one("acme/ml/hf", 5), at("acme/ml2"), at("default")] {
            assert_eq!(told(&alice(role, scope), ActionKind::List, &seen), NOT_VISIBLE, "{role}");
        }
    }
}

#[test]
fn part_of_a_project_is_open_to_any_right_inside_it() {
    let part = PartOfProject(project("acme/ml"));
    for scope in [at(""), at("acme"), at("acme/ml"), at("acme/ml/team"), one("acme/ml/hf", 5)] {
        let actor = alice(Role::Contributor, scope);
        assert_eq!(told(&actor, ActionKind::List, &part), YES, "{actor:?}");
    }
    for scope in [at("acme/ml2"), at("acme/ml2/team"), one("default/ml/hf", 5), at("default")] {
        let actor = alice(Role::Owner, scope);
        assert_eq!(told(&actor, ActionKind::List, &part), NOT_VISIBLE, "{actor:?}");
    }
}

#[test]
fn what_opens_a_project_for_a_look_opens_it_for_nothing_else() {
    let viewer = alice(Role::Viewer, at("acme/ml"));
    let grantee = alice(Role::Manage, at("acme/ml/team"));
    for action in ActionKind::ALL.into_iter().filter(|action| *action != ActionKind::List) {
        let (seen, part) = (SeenProject(project("acme/ml")), PartOfProject(project("acme/ml")));
        assert_eq!(told(&viewer, action, &seen), FORBIDDEN, "{action}");
        assert_eq!(told(&viewer, action, &part), FORBIDDEN, "{action}");
        assert_eq!(told(&grantee, action, &part), NOT_VISIBLE, "{action}");
    }
}
