//! Rights: who has them, how long, and what they rest on.

use authz::{ActionKind, Narrowing, PartOfProject, Read, SeenProject};
use domain::PrincipalName;

use super::*;

const PASSWORD: &str = "tremendous oval penguin 55";

fn name(text: &str) -> PrincipalName {
    PrincipalName::parse(text).unwrap()
}

fn password(text: &str) -> Plaintext {
    Plaintext::new(text.as_bytes().to_vec())
}

fn attempt<'a>(name: &'a str, password: &'a Plaintext) -> Attempt<'a> {
    Attempt { name, password, address: None }
}

impl Running {
    fn make(&self, kind: PrincipalKind, wanted: &str) -> Result<PrincipalView, VaultError> {
        let secret = password(PASSWORD);
        let password = Some(&secret).filter(|_| kind == PrincipalKind::User);
        let new = NewPrincipal {
            kind,
            name: name(wanted),
            password,
            members: Vec::new(),
            rights: Vec::new(),
        };
        self.vault.create_principal(&self.may(WholeStore), &new)
    }

    /// A new user, as an actor.
    pub(super) fn user(&self, wanted: &str) -> Actor {
        self.make(PrincipalKind::User, wanted).unwrap();
        self.sign_in(wanted)
    }

    pub(super) fn sign_in(&self, wanted: &str) -> Actor {
        let signed_in = self.vault.sign_in(&attempt(wanted, &password(PASSWORD))).unwrap();
        self.vault.signed_in_actor(&signed_in).unwrap()
    }

    fn grant(&self, by: &Actor, to: &str, uri: &str, role: Role) -> Result<GrantView, VaultError> {
        let scope = self.vault.scope_of(uri)?;
        let permit = self.vault.permit_granting(by, &scope)?;
        let (kind, named) = to.split_once(':').unwrap();
        let to = (PrincipalKind::parse(kind).unwrap(), name(named));
        self.vault.grant(&permit, &scope, &NewGrant { to, role })
    }

    fn set_members(&self, group: &str, members: &[&str]) -> Result<PrincipalView, VaultError> {
        let member = |text: &&str| Member { kind: PrincipalKind::User, name: name(text) };
        let members = Some(members.iter().map(member).collect());
        let change = PrincipalChange { disabled: None, members };
        let permit = self.may(WholeStore);
        self.vault.change_principal(&permit, PrincipalKind::Group, &name(group), &change)
    }

    fn disable(&self, user: &str, disabled: bool) -> Result<PrincipalView, VaultError> {
        let change = PrincipalChange { disabled: Some(disabled), members: None };
        let permit = self.may(WholeStore);
        self.vault.change_principal(&permit, PrincipalKind::User, &name(user), &change)
    }

    fn remove(&self, kind: PrincipalKind, wanted: &str) -> Result<(), VaultError> {
        self.vault.delete_principal(&self.may(WholeStore), kind, &name(wanted))
    }

    pub(super) fn own_token(
        &self,
        actor: &Actor,
        narrowing: Narrowing,
    ) -> Result<MintedToken, VaultError> {
        let holder = NewHolder::Myself(narrowing);
        let new = NewToken { description: String::new(), holder, expires: None, jwt: false };
        self.vault.create_own_token(actor, new)
    }

    fn create_as(&self, actor: &Actor, path: SecretPath) -> Result<SecretView, VaultError> {
        let permit = decide::<Create, _>(actor, path, self.now());
        let permit = permit.map_err(VaultError::NotPermitted)?;
        self.vault.create_secret(&permit, &new_secret("theirs"))
    }

    fn may_read(&self, actor: &Actor, path: &SecretPath) -> bool {
        self.vault.permit::<Read>(actor, path.clone()).is_ok()
    }
}

/// The actor of the same credential, with the rights that it has by now.
fn again(running: &Running, user: &str) -> Actor {
    running.sign_in(user)
}

#[test]
fn a_right_that_is_taken_back_between_decision_and_commit_voids_the_act() {
    let (_home, running) = Running::with_project();
    let alice = running.user("alice");
    for (how, give, take) in [
        (
            "a grant",
            &(|| running.grant(&running.admin, "user:alice", "secret://default/ml", Role::Writer))
                as &dyn Fn() -> Result<GrantView, VaultError>,
            &(|given: &GrantView| {
                drop(running.vault.revoke_grant(&running.admin, given.id).unwrap());
            }) as &dyn Fn(&GrantView),
        ),
        (
            "a membership of a group",
            &|| {
                let _ = running.make(PrincipalKind::Group, "team");
                running.set_members("team", &["alice"]).unwrap();
                running.grant(&running.admin, "group:team", "secret://default/ml", Role::Writer)
            },
            &|_: &GrantView| drop(running.set_members("team", &[]).unwrap()),
        ),
        (
            "the account",
            &|| running.grant(&running.admin, "user:alice", "secret://default/ml", Role::Writer),
            &|_: &GrantView| drop(running.disable("alice", true).unwrap()),
        ),
    ] {
        refused!(running.create_as(&alice, secret("early")), VaultError::NotPermitted(_));
        let given = give().unwrap();
        let alice = again(&running, "alice");
        let permit = decide::<Create, _>(&alice, secret("late"), running.now()).unwrap();
        take(&given);
        let late = running.vault.create_secret(&permit, &new_secret("x")).err();
        assert!(matches!(late, Some(VaultError::RightsChanged)), "{how}: {late:?}");
    }
    refused!(running.reveal("late", None), VaultError::NotFound);
}

#[test]
fn a_right_that_is_given_meanwhile_does_not_void_what_was_allowed_before() {
    let (_home, running) = Running::with_project();
    running.user("alice");
    running.grant(&running.admin, "user:alice", "secret://default/ml", Role::Writer).unwrap();
    running.make(PrincipalKind::Group, "team").unwrap();
    let alice = again(&running, "alice");
    let permit = decide::<Create, _>(&alice, secret("hf"), running.now()).unwrap();
    running.set_members("team", &["alice"]).unwrap();
    running.vault.create_secret(&permit, &new_secret("x")).unwrap();
}

#[test]
fn rights_survive_a_restart_as_they_were() {
    let (home, running) = Running::with_project();
    running.user("alice");
    running.make(PrincipalKind::Group, "team").unwrap();
    running.set_members("team", &["alice"]).unwrap();
    running.grant(&running.admin, "group:team", "secret://default/ml/a", Role::Read).unwrap();
    running.vault.create_org(&running.may(WholeStore), &OrgName::parse("acme").unwrap()).unwrap();
    let token = running.own_token(&again(&running, "alice"), Narrowing::default()).unwrap();
    running.create("a/b", "1").unwrap();
    running.create("ab", "1").unwrap();
    drop(running);
    let running = home.start();
    let alice = running.vault.authenticate(&token.text).unwrap();
    assert!(running.may_read(&alice, &secret("a/b")) && !running.may_read(&alice, &secret("ab")));
    assert!(matches!(running.vault.scope_of("secret://default/acme"), Ok(Scope::Org(_))));
    running.disable("alice", true).unwrap();
    drop(running);
    let running = home.start();
    assert!(running.vault.authenticate(&token.text).is_none());
}

#[test]
fn what_an_owner_made_is_theirs_and_the_name_is_not() {
    let (_home, running) = Running::with_project();
    running.user("alice");
    running.user("bob");
    let member =
        running.grant(&running.admin, "user:alice", "secret://default/ml", Role::Contributor);
    let alice = again(&running, "alice");
    running.create_as(&alice, secret("mine")).unwrap();
    running.create("mine/below", "1").unwrap();
    running.create("other", "1").unwrap();
    assert!(running.may_read(&alice, &secret("mine")));
    for other in ["mine/below", "other", "absent"] {
        assert!(!running.may_read(&alice, &secret(other)), "{other}");
    }
    let given =
        running.grant(&alice, "user:bob", "secret://default/ml/mine", Role::Manage).unwrap();
    assert!(given.only_this_secret);
    let bob = again(&running, "bob");
    assert!(
        running.may_read(&bob, &secret("mine")) && !running.may_read(&bob, &secret("mine/below"))
    );

    // Without the membership it is still theirs.
    running.vault.revoke_grant(&running.admin, member.unwrap().id).unwrap();
    let alice = again(&running, "alice");
    assert!(running.may_read(&alice, &secret("mine")));
    // A permit that rests on ownership is void once the name is another's.
    let permit = running.vault.permit::<Read>(&alice, secret("mine")).unwrap();
    running.delete("mine").unwrap();
    running.create("mine", "2").unwrap();
    refused!(running.vault.reveal(&permit, None), VaultError::RightsChanged);
    for actor in [&alice, &again(&running, "bob")] {
        assert!(!running.may_read(actor, &secret("mine")));
    }
    // The deleted one is theirs still, and can be found by its identity.
    let purge = running.vault.permit_deleted::<Delete>(&alice, secret("mine"), None).unwrap();
    running.vault.purge_secret(&purge, None).unwrap_err();
    let uid = running.vault.deleted_head(&secret("mine"), None).unwrap().unwrap().uid;
    running.vault.purge_secret(&purge, Some(uid)).unwrap();
    assert_eq!(running.reveal("mine", None).unwrap(), "2");
}

#[test]
fn nobody_gives_what_they_do_not_have() {
    let (_home, running) = Running::with_project();
    running.user("alice");
    running.user("bob");
    let uri = "secret://default/ml";
    running.grant(&running.admin, "user:alice", uri, Role::Manager).unwrap();
    let alice = again(&running, "alice");
    for role in Role::ALL {
        let given = running.grant(&alice, "user:bob", uri, role);
        let may = [Role::Viewer, Role::Contributor, Role::Manager].contains(&role);
        assert_eq!(given.is_ok(), may, "{role}: {given:?}");
    }
    let owner = running.grant(&running.admin, "user:bob", uri, Role::Owner).unwrap();
    refused!(running.vault.revoke_grant(&alice, owner.id), VaultError::Invalid(wrong) if wrong.field == "role");
    for uri in ["secret://default", "secret://default/default", "secret://default/bob"] {
        refused!(running.grant(&alice, "user:bob", uri, Role::Viewer), VaultError::NotPermitted(_));
    }
    // Anybody gives up what is theirs.
    running.vault.revoke_grant(&again(&running, "bob"), owner.id).unwrap();
}

#[test]
fn a_token_is_never_wider_than_its_maker() {
    let (_home, running) = Running::with_project();
    running.make_project("other", Vec::new());
    running.user("alice");
    running.grant(&running.admin, "user:alice", "secret://default/ml", Role::Owner).unwrap();
    let alice = again(&running, "alice");
    let narrowed = |projects: Option<&[&str]>, actions: Option<&[ActionKind]>| Narrowing {
        projects: projects.map(|names| names.iter().map(|name| project(name)).collect()),
        actions: actions.map(|actions| actions.iter().copied().collect()),
    };
    use ActionKind::{Administer, List, Read};
    let list = narrowed(Some(&["ml"]), Some(&[List]));
    let token = running.own_token(&alice, list.clone()).unwrap();
    let lister = running.vault.authenticate(&token.text).unwrap();
    running.create("hf", "1").unwrap();
    assert!(!running.may_read(&lister, &secret("hf")));
    assert!(decide::<authz::List, _>(&lister, secret("hf"), running.now()).is_ok());
    for (wider, field) in [
        (Narrowing::default(), "narrowing.projects"),
        (narrowed(Some(&["ml", "alice"]), Some(&[List])), "narrowing.projects"),
        (narrowed(Some(&["ml"]), None), "narrowing.actions"),
        (narrowed(Some(&["ml"]), Some(&[List, Read])), "narrowing.actions"),
    ] {
        refused!(running.own_token(&lister, wider), VaultError::Invalid(wrong) if wrong.field == field);
    }
    assert!(running.own_token(&lister, list).is_ok());
    for elsewhere in ["other", "absent"] {
        let made = running.own_token(&alice, narrowed(Some(&[elsewhere]), None));
        refused!(made, VaultError::Invalid(wrong) if wrong.field == "narrowing.projects");
    }
    // An administrator's token that only administers makes none that reads.
    running.grant(&running.admin, "user:alice", "secret://default", Role::Admin).unwrap();
    let alice = again(&running, "alice");
    let token = running.own_token(&alice, narrowed(None, Some(&[Administer]))).unwrap();
    let clerk = running.vault.authenticate(&token.text).unwrap();
    let permit = decide::<authz::Administer, _>(&clerk, WholeStore, running.now()).unwrap();
    let admin = vec![Right::new(Role::Admin, Scope::WholeStore).unwrap()];
    let made = running.vault.create_token(&permit, new_token("", admin, None));
    refused!(made, VaultError::Invalid(wrong) if wrong.field == "rights");
    // Nor one of somebody who reads, nor their password, nor a place in their group.
    running.make(PrincipalKind::Machine, "ci").unwrap();
    running.grant(&running.admin, "machine:ci", "secret://default/ml", Role::Writer).unwrap();
    let holder = NewHolder::Machine(name("ci"), Narrowing::default());
    let new = NewToken { description: String::new(), holder, expires: None, jwt: false };
    let made = running.vault.create_token(&permit, new);
    refused!(made, VaultError::Invalid(wrong) if wrong.field == "machineAccount");
    running.user("bob");
    let taken = running.vault.set_password(&permit, &name("bob"), &password(PASSWORD));
    refused!(taken, VaultError::Invalid(wrong) if wrong.field == "principal");
    running.make(PrincipalKind::Group, "readers").unwrap();
    running.grant(&running.admin, "group:readers", "secret://default/ml", Role::Read).unwrap();
    let member = Member { kind: PrincipalKind::User, name: name("bob") };
    let change = PrincipalChange { disabled: None, members: Some(vec![member]) };
    let put = |by: &Permit<authz::Administer, WholeStore>| {
        running.vault.change_principal(by, PrincipalKind::Group, &name("readers"), &change)
    };
    refused!(put(&permit), VaultError::Invalid(wrong) if wrong.field == "spec.members");
    put(&running.may(WholeStore)).unwrap();
    // Nor another password of its holder's.
    let present = password(PASSWORD);
    let new = password("another very odd sentence 9");
    let changed = running.vault.change_own_password(&clerk, &attempt("alice", &present), &new);
    refused!(changed, VaultError::NotPermitted(_));
}

/// A name that is another's by now says nothing about what was given on the secret of before.
#[test]
fn what_an_owner_gave_is_not_the_next_owners_to_take() {
    let (_home, running) = Running::with_project();
    for user in ["alice", "bob", "carol"] {
        running.user(user);
    }
    for user in ["user:alice", "user:carol"] {
        running.grant(&running.admin, user, "secret://default/ml", Role::Contributor).unwrap();
    }
    let (alice, carol) = (again(&running, "alice"), again(&running, "carol"));
    running.create_as(&alice, secret("mine")).unwrap();
    let given = running.grant(&alice, "user:bob", "secret://default/ml/mine", Role::Read).unwrap();
    running.delete("mine").unwrap();
    running.create_as(&carol, secret("mine")).unwrap();
    refused!(running.vault.revoke_grant(&carol, given.id), VaultError::NotPermitted(_));
    running.vault.revoke_grant(&alice, given.id).unwrap();
}

/// What an owner gave goes with the secret, and opens not even the project any more.
#[test]
fn what_an_owner_gave_ends_with_the_secret() {
    let (_home, running) = Running::with_project();
    running.user("alice");
    running.user("bob");
    running.grant(&running.admin, "user:alice", "secret://default/ml", Role::Contributor).unwrap();
    let alice = again(&running, "alice");
    running.create_as(&alice, secret("mine")).unwrap();
    running.grant(&alice, "user:bob", "secret://default/ml/mine", Role::Read).unwrap();
    let reaches = || {
        let part = PartOfProject(project("ml"));
        decide::<List, _>(&again(&running, "bob"), part, running.now()).is_ok()
    };
    running.delete("mine").unwrap();
    assert!(reaches(), "it may be undeleted");
    running.purge("mine", None).unwrap();
    assert!(!reaches());
}

/// A token that may only list must not end what is its holder's.
#[test]
fn a_narrowed_token_gives_up_nothing_of_its_holders() {
    let (_home, running) = Running::with_project();
    running.user("alice");
    let given = running.grant(&running.admin, "user:alice", "secret://default/ml", Role::Owner);
    let given = given.unwrap();
    let whole = running.own_token(&again(&running, "alice"), Narrowing::default()).unwrap();
    let actions = Some([ActionKind::List].into_iter().collect());
    let narrowed = Narrowing { projects: None, actions };
    let token = running.own_token(&again(&running, "alice"), narrowed).unwrap();
    let lister = running.vault.authenticate(&token.text).unwrap();
    refused!(running.vault.revoke_grant(&lister, given.id), VaultError::NotPermitted(_));
    refused!(running.vault.revoke_own_token(&lister, whole.view.id), VaultError::NotPermitted(_));
    assert_eq!(running.vault.own_tokens(&lister).len(), 1);
    running.vault.revoke_own_token(&lister, token.view.id).unwrap();
    let alice = running.vault.authenticate(&whole.text).unwrap();
    running.vault.revoke_grant(&alice, given.id).unwrap();
}

/// What lies below the name of one's own secret is shown to others.
#[test]
fn an_owner_sees_what_was_granted_on_their_secret_and_not_below_its_name() {
    let (_home, running) = Running::with_project();
    running.user("alice");
    running.user("bob");
    running.grant(&running.admin, "user:alice", "secret://default/ml", Role::Contributor).unwrap();
    let alice = again(&running, "alice");
    running.create_as(&alice, secret("mine")).unwrap();
    for uri in ["secret://default/ml/mine", "secret://default/ml/mine/below"] {
        running.grant(&running.admin, "user:bob", uri, Role::Viewer).unwrap();
    }
    let seen = |actor: &Actor| {
        let scope = running.vault.scope_of("secret://default/ml/mine").unwrap();
        let permit = running.vault.permit_granting(actor, &scope).unwrap();
        running.vault.grants_at(&permit, &scope, true).len()
    };
    assert_eq!((seen(&alice), seen(&running.admin)), (1, 2));
}

#[test]
fn somebody_administers_the_store_whatever_is_taken_away() {
    let (_home, running) = Running::with_project();
    let first = running.admin.token().unwrap().id;
    running.user("alice");
    running.make(PrincipalKind::Group, "admins").unwrap();
    running.set_members("admins", &["alice"]).unwrap();
    let given = running.grant(&running.admin, "group:admins", "secret://default", Role::Admin);
    let given = given.unwrap();
    running.vault.revoke_token(&running.may(WholeStore), first).unwrap();
    // From here on the group's only member is the last one.
    let alice = again(&running, "alice");
    let permit = || decide::<Administer, _>(&alice, WholeStore, running.now()).unwrap();
    let last = |done: Result<(), VaultError>| refused!(done, VaultError::LastAdministrator);
    let vault = &running.vault;
    last(vault.revoke_grant(&alice, given.id).map(|_| ()));
    let group = PrincipalKind::Group;
    last(vault.delete_principal(&permit(), group, &name("admins")));
    last(vault.delete_principal(&permit(), PrincipalKind::User, &name("alice")));
    let out = PrincipalChange { disabled: Some(true), members: None };
    last(vault.change_principal(&permit(), PrincipalKind::User, &name("alice"), &out).map(|_| ()));
    let nobody = PrincipalChange { disabled: None, members: Some(Vec::new()) };
    last(vault.change_principal(&permit(), group, &name("admins"), &nobody).map(|_| ()));
    let rights = vec![Right::new(Role::Admin, Scope::WholeStore).unwrap()];
    vault.create_token(&permit(), new_token("", rights, None)).unwrap();
    vault.revoke_grant(&again(&running, "alice"), given.id).unwrap();
    assert!(decide::<Administer, _>(&again(&running, "alice"), WholeStore, running.now()).is_err());
}

#[test]
fn a_machine_account_counts_as_an_administrator_with_a_whole_token_only() {
    let (_home, running) = Running::with_project();
    let first = running.admin.token().unwrap().id;
    for machine in ["a", "b", "c"] {
        running.make(PrincipalKind::Machine, machine).unwrap();
        let to = format!("machine:{machine}");
        running.grant(&running.admin, &to, "secret://default", Role::Admin).unwrap();
    }
    let mint = |machine: &str, narrowing: Narrowing| {
        let holder = NewHolder::Machine(name(machine), narrowing);
        let new = NewToken { description: String::new(), holder, expires: None, jwt: false };
        running.vault.create_token(&running.may(WholeStore), new).unwrap()
    };
    let revoke = |id| running.vault.revoke_token(&running.may(WholeStore), id);
    refused!(revoke(first), VaultError::LastAdministrator);
    mint("b", Narrowing { projects: Some(vec![project("ml")]), actions: None });
    refused!(revoke(first), VaultError::LastAdministrator);
    // Whichever of them is looked at first.
    let whole = mint("c", Narrowing::default());
    revoke(first).unwrap();
    let last = running.vault.authenticate(&whole.text).unwrap();
    let permit = decide::<Administer, _>(&last, WholeStore, running.now()).unwrap();
    refused!(running.vault.revoke_token(&permit, whole.view.id), VaultError::LastAdministrator);
}

#[test]
fn a_removed_user_leaves_nothing_that_opens_anything() {
    let (_home, running) = Running::with_project();
    let alice = running.user("alice");
    running.make(PrincipalKind::Group, "team").unwrap();
    running.set_members("team", &["alice"]).unwrap();
    let tokens: Vec<_> =
        (0..70).map(|_| running.own_token(&alice, Narrowing::default()).unwrap().text).collect();
    running.create_as(&alice, secret_in("alice", "hf")).unwrap();
    running.remove(PrincipalKind::User, "alice").unwrap();
    assert!(tokens.iter().all(|token| running.vault.authenticate(token).is_none()));
    refused!(
        running.vault.sign_in(&attempt("alice", &password(PASSWORD))),
        VaultError::WrongPassword
    );
    let team = running.vault.principals(&running.may(WholeStore), PrincipalKind::Group);
    assert!(team[0].members.is_empty());
    // What they stored is not lost, and the name is not free while it is there.
    assert!(running.vault.secret(&running.may(secret_in("alice", "hf"))).is_ok());
    refused!(running.make(PrincipalKind::User, "alice"), VaultError::Invalid(wrong) if wrong.field == "metadata.name");
    running.vault.delete_secret(&running.may(secret_in("alice", "hf")), None).unwrap();
    running.vault.purge_secret(&running.may(secret_in("alice", "hf")), None).unwrap();
    running.vault.delete_project(&running.may(project("alice")), None).unwrap();
    let again = running.user("alice");
    assert!(!running.may_read(&again, &secret_in("bob", "x")));
    running.remove(PrincipalKind::User, "alice").unwrap();
    // An empty personal project goes with its user.
    running.make(PrincipalKind::User, "alice").unwrap();
}

#[test]
fn a_user_may_remove_themselves_and_a_project_by_a_right_in_it() {
    let (_home, running) = Running::with_project();
    running.user("alice");
    running.grant(&running.admin, "user:alice", "secret://default", Role::Admin).unwrap();
    let alice = again(&running, "alice");
    let permit = decide::<Administer, _>(&alice, WholeStore, running.now()).unwrap();
    running.vault.delete_principal(&permit, PrincipalKind::User, &name("alice")).unwrap();
    running.user("bob");
    running.grant(&running.admin, "user:bob", "secret://default/ml", Role::Owner).unwrap();
    let bob = again(&running, "bob");
    let permit = decide::<Administer, _>(&bob, project("ml"), running.now()).unwrap();
    running.vault.delete_project(&permit, None).unwrap();
    running.make_project("ml", Vec::new());
    let bob = again(&running, "bob");
    assert!(decide::<List, _>(&bob, SeenProject(project("ml")), running.now()).is_err());
}

#[test]
fn an_organization_and_a_project_of_the_default_one_share_no_name() {
    let (_home, running) = Running::with_project();
    let all = running.may(WholeStore);
    let org = |name: &str| OrgName::parse(name).unwrap();
    let taken = running.vault.create_org(&all, &org("ml"));
    refused!(taken, VaultError::Invalid(wrong) if wrong.field == "metadata.name");
    running.vault.create_org(&all, &org("acme")).unwrap();
    refused!(running.vault.create_org(&all, &org("acme")), VaultError::AlreadyExists);
    refused!(running.vault.create_org(&all, &org("default")), VaultError::AlreadyExists);
    let new = || NewProject::default();
    let default = running.may(OrgName::default_org());
    let named = running.vault.create_project(&default, None, &project("acme"), new());
    refused!(named, VaultError::Invalid(wrong) if wrong.field == "metadata.name");
    refused!(running.make(PrincipalKind::User, "acme"), VaultError::Invalid(_));
    let inside = ProjectPath { org: org("acme"), project: ProjectName::parse("ml").unwrap() };
    running.vault.create_project(&running.may(org("acme")), None, &inside, new()).unwrap();
    refused!(running.vault.delete_org(&all, &org("acme")), VaultError::OrgNotEmpty);
    // A refused removal leaves it open.
    running.user("alice");
    running.grant(&running.admin, "user:alice", "secret://default/acme", Role::Owner).unwrap();
    let alice = again(&running, "alice");
    let permit = decide::<Administer, _>(&alice, org("acme"), running.now()).unwrap();
    let second = ProjectPath { org: org("acme"), project: ProjectName::parse("b").unwrap() };
    running.vault.create_project(&permit, None, &second, new()).unwrap();
    for path in [inside, second] {
        running.vault.delete_project(&running.may(path), None).unwrap();
    }
    running.vault.delete_org(&all, &org("acme")).unwrap();
    // What was granted on it does not wait for the next one.
    running.vault.create_org(&all, &org("acme")).unwrap();
    let alice = again(&running, "alice");
    assert!(decide::<Administer, _>(&alice, org("acme"), running.now()).is_err());
}

#[test]
fn who_may_list_a_part_is_shown_that_part_on_every_page() {
    let (_home, running) = Running::with_project();
    running.user("alice");
    for number in 0..30 {
        running.create(&format!("s{number:02}"), "1").unwrap();
    }
    for uri in ["secret://default/ml/s03", "secret://default/ml/s21"] {
        running.grant(&running.admin, "user:alice", uri, Role::Viewer).unwrap();
    }
    let alice = again(&running, "alice");
    let permits = [decide::<List, _>(&alice, PartOfProject(project("ml")), running.now()).unwrap()];
    for sort in [Sort::Name, Sort::Created] {
        let (mut seen, mut next) = (Vec::new(), None);
        loop {
            let query = ListQuery { limit: 1, sort, continue_: next, ..ListQuery::default() };
            let page = running.vault.secrets(&permits, &query).unwrap();
            seen.extend(page.items.iter().map(|view| view.head.path.name.to_string()));
            next = page.next;
            if next.is_none() {
                break;
            }
        }
        assert_eq!(seen, ["s03", "s21"]);
    }
}

#[test]
fn what_was_read_and_shown_is_known_after_a_restart() {
    let (home, running) = Running::with_project();
    let view = running.create("hf", "1").unwrap();
    let alice = running.user("alice");
    let token = running.own_token(&alice, Narrowing::default()).unwrap();
    let tokens = |running: &Running| running.vault.tokens(&running.may(WholeStore));
    let used = |running: &Running| {
        tokens(running).into_iter().find(|t| t.id == token.view.id).unwrap().last_used_at
    };
    assert_eq!((running.vault.last_read(view.head.uid), used(&running)), (None, None));
    let worker = decide::<Read, _>(&Actor::sync_worker(), secret("hf"), running.now()).unwrap();
    running.vault.reveal(&worker, None).unwrap();
    assert_eq!(running.vault.last_read(view.head.uid), None, "the worker needs nothing");
    running.reveal("hf", None).unwrap();
    running.vault.authenticate(&token.text).unwrap();
    let at = Some(running.now());
    assert_eq!((running.vault.last_read(view.head.uid), used(&running)), (at, at));
    let before = running.engine.revision();
    running.vault.write_usage().unwrap();
    let written = running.engine.revision();
    running.vault.write_usage().unwrap();
    assert_eq!(running.engine.revision(), written, "nothing new is not written again");
    assert!(written > before);
    assert_eq!(running.secret("hf").unwrap().resource_version, view.resource_version);
    home.clock.pass_millis(1000);
    drop(running);
    let running = home.start();
    assert_eq!((running.vault.last_read(view.head.uid), used(&running)), (at, at));
    // It goes with what it is about.
    running.delete("hf").unwrap();
    running.purge("hf", None).unwrap();
    running.vault.revoke_token(&running.may(WholeStore), token.view.id).unwrap();
    let kept = running.keys(0x10);
    assert!(kept.iter().all(|key| !key.ends_with(view.head.uid) && !key.ends_with(token.view.id)));
}

#[test]
fn ended_tokens_are_removed_in_time_and_the_others_stay() {
    let (home, running) = Running::with_project();
    let right = || vec![Right::new(Role::Viewer, Scope::Project(project("ml"))).unwrap()];
    let permit = running.may(WholeStore);
    for seconds in 1..=65 {
        let expires = Some(running.now().plus_seconds(seconds));
        running.vault.create_token(&permit, new_token("", right(), expires)).unwrap();
    }
    home.clock.pass_millis(63_000);
    assert_eq!(running.vault.purge_ended_tokens().unwrap(), 63);
    assert_eq!(running.vault.tokens(&permit).len(), 3);
    assert_eq!((running.keys(0x09).len(), running.keys(0x0a).len()), (3, 3));
}

#[test]
fn a_password_is_stored_as_a_hash_and_sealed_and_a_new_one_ends_what_the_old_one_opened() {
    let (_home, running) = Running::with_project();
    let alice = running.user("alice");
    let seconds = running.now().plus_seconds(60);
    let session = |running: &Running| {
        let signed_in = running.vault.sign_in(&attempt("alice", &password(PASSWORD))).unwrap();
        running.vault.start_session(&signed_in, seconds, false).unwrap()
    };
    let (first, second) = (session(&running), session(&running));
    let own = running.own_token(&alice, Narrowing::default()).unwrap();
    let with_password =
        running.vault.sign_in_again(&attempt("alice", &password(PASSWORD))).unwrap();
    assert!(!stored(&running, PASSWORD.as_bytes()));
    assert!(!stored(&running, b"alice:"));
    let asks = running.vault.authenticate(&second.text).unwrap();
    let new = password("another very odd sentence 9");
    let wrong = password("tremendous oval penguin 56");
    let refused = running.vault.change_own_password(&asks, &attempt("alice", &wrong), &new);
    refused!(refused, VaultError::Invalid(wrong) if wrong.field == "currentPassword");
    running.vault.change_own_password(&asks, &attempt("alice", &password(PASSWORD)), &new).unwrap();
    let opens = |token: &MintedToken| running.vault.authenticate(&token.text).is_some();
    assert_eq!((opens(&first), opens(&second), opens(&own)), (false, true, true));
    assert!(running.vault.signed_in_actor(&with_password).is_none());
    assert!(running.vault.known_again(&attempt("alice", &password(PASSWORD))).is_none());
    refused!(
        running.vault.sign_in(&attempt("alice", &password(PASSWORD))),
        VaultError::WrongPassword
    );
    running.vault.sign_in(&attempt("alice", &new)).unwrap();
}

/// What others hold is shown to who may give it, wherever that is, and to nobody else.
#[test]
fn who_may_give_at_a_place_sees_what_others_hold_there() {
    let (_home, running) = Running::with_project();
    let [ann, ben] = ["ann", "ben"].map(|name| running.user(name));
    let given = |actor: &Actor| -> Vec<(String, String)> {
        let grants = running.vault.grants_given(actor).unwrap();
        grants.into_iter().map(|grant| (grant.subject, grant.uri)).collect()
    };
    assert_eq!(given(&ann), []);
    let uri = "secret://default/default/ann/k";
    running.grant(&ann, "user:ben", uri, Role::Read).unwrap();
    assert_eq!(given(&ann), [("user:ben".to_owned(), uri.to_owned())]);
    assert_eq!(given(&ben), []);
    // The owner of one secret sees what was given on that one.
    running.grant(&running.admin, "user:ben", "secret://default/ml", Role::Writer).unwrap();
    let ben = running.sign_in("ben");
    let own = decide(&ben, secret("own"), running.now()).unwrap();
    running.vault.create_secret(&own, &new_secret("v")).unwrap();
    let uri = "secret://default/default/ml/own";
    running.grant(&ben, "user:ann", uri, Role::Read).unwrap();
    assert_eq!(given(&ben), [("user:ann".to_owned(), uri.to_owned())]);

    let all = running.may(WholeStore);
    let (kind, ben) = (PrincipalKind::User, name("ben"));
    let by_ben = running.vault.grants_given_by(&all, kind, &ben).unwrap();
    assert_eq!(by_ben.len(), 1);
    assert_eq!(running.vault.grants_held_by(&all, kind, &ben).unwrap().len(), 3);
    let nobody = running.vault.grants_held_by(&all, kind, &name("nobody-here"));
    assert!(matches!(nobody, Err(VaultError::NotFound)));
    let nobody = running.vault.grants_given_by(&all, kind, &name("nobody-here"));
    assert!(matches!(nobody, Err(VaultError::NotFound)));
}
