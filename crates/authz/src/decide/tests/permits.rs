//! What a permit carries, and the reasons that it was given for.

use super::*;

#[test]
fn a_permit_names_the_record_it_was_decided_on() {
    let writer = alice(Role::Writer, at("default/ml"));
    let permit = decide::<Read, _>(&writer, secret("default/ml/hf"), NOW).ok().unwrap();
    assert_eq!(permit.basis().grounds(), [ground(1, 7)]);
    assert_eq!(permit.resource(), &secret("default/ml/hf"));
    assert_eq!(permit.actor().name(), "user:alice");
    let known = known("default/ml/hf", 5, None);
    let permit = decide_known::<Read>(&writer, known.clone(), NOW).ok().unwrap();
    assert_eq!(permit.resource(), &known.path);
    let bound = (&project("default/ml"), BindingKind::Members);
    let permit = decide_use(&writer, known.clone(), bound, NOW).ok().unwrap();
    assert_eq!(permit.resource(), &known.path);
}

#[test]
fn a_basis_holds_all_that_can_change_once_and_follows_the_act_that_rests_on_it() {
    let shown = || Some(Arc::new(token(Narrowing::default(), None)));
    let actor = |grounds: &[Ground]| {
        let (name, subject, held) = ("user:alice".to_owned(), ALICE, Vec::new());
        let identity = Identity { name, subject, held, grounds: grounds.to_vec() };
        Actor::known(Arc::new(identity), shown())
    };
    let (user, group) = (ground(1, 7), ground(2, 3));
    let basis = actor(&[user, group]).basis();
    assert_eq!(basis.grounds(), [user, group, token_ground()]);
    let of_itself = actor(&[token_ground()]).basis();
    assert_eq!(of_itself.grounds(), [token_ground()], "a token that belongs to nobody");

    let moved = basis.clone().once_changed(group.record, Revision::new(20));
    assert_eq!(moved.grounds(), [user, ground(2, 20), token_ground()]);
    let unmoved = basis.clone().once_changed(GroundRecord::Token(uid(1)), Revision::new(20));
    assert_eq!(unmoved, basis, "a token and a user of one number are two records");
    let left = basis.clone().without(|record| record == token_ground().record);
    assert_eq!(left.grounds(), [user, group]);
    assert_eq!(basis.without(|_| true), Basis::default());
    for system in [Actor::operator(), Actor::sync_worker()] {
        assert_eq!(system.basis(), Basis::default(), "nothing about it can change");
    }
}

#[test]
fn what_rests_on_one_secret_covers_that_secret_and_a_right_to_the_name_covers_any() {
    let hf = || known("acme/ml/team/hf", 5, Some(ALICE));
    let covered = |actor: &Actor| {
        let permit = decide_known::<Read>(actor, hf(), NOW).ok().unwrap();
        (permit.covers(uid(5)), permit.covers(uid(6)))
    };
    assert_eq!(covered(&stranger()), (true, false), "an owner");
    assert_eq!(covered(&alice(Role::Read, one("acme/ml/team/hf", 5))), (true, false), "a grantee");
    assert_eq!(covered(&alice(Role::Read, at("acme/ml/team"))), (true, true));
    assert_eq!(covered(&alice(Role::Viewer, at("acme/ml"))), (true, false), "it reads as owner");
    assert_eq!(covered(&alice(Role::Writer, at("acme/ml"))), (true, true));
    assert_eq!(covered(&Actor::sync_worker()), (true, true));
}

#[test]
fn a_permit_about_a_node_that_is_one_secret_covers_no_other_unless_the_name_is_the_actors() {
    let covered = |actor: &Actor| {
        let permit = decide::<Share, _>(actor, one("acme/ml/hf", 5), NOW).ok().unwrap();
        (permit.covers(uid(5)), permit.covers(uid(6)))
    };
    assert_eq!(covered(&alice(Role::Manage, one("acme/ml/hf", 5))), (true, false));
    assert_eq!(covered(&alice(Role::Manage, at("acme/ml/hf"))), (true, true));
}

#[test]
fn a_permit_to_use_covers_the_secret_that_is_bound_and_no_other() {
    let (hf, web) = (known("acme/ml/hf", 5, None), project("default/web"));
    let admin = alice(Role::Admin, Scope::WholeStore);
    let permit = decide_use(&admin, hf, (&web, BindingKind::Owner), NOW).ok().unwrap();
    assert!(permit.covers(uid(5)) && !permit.covers(uid(6)));
}

#[test]
fn every_reason_is_given_and_groups_are_named() {
    let group = Some(Arc::from("ml-team"));
    let through = Held { right: right(Role::Writer, at("acme/ml")), group };
    let direct = Held { right: right(Role::Read, at("acme/ml/team")), group: None };
    let idle = Held { right: right(Role::Viewer, at("acme")), group: None };
    let elsewhere = Held { right: right(Role::Owner, at("default")), group: None };
    let held = vec![through.clone(), direct.clone(), idle, elsewhere];
    let actor = someone(ALICE, held, Some(token(narrowed(Some(&[]), None), Some(NOW))));
    let hf = secret("acme/ml/team/hf");
    let why = |owner| {
        let place = Place::Secret(&hf, Some(uid(5)));
        reasons(&actor, place, owner, ActionKind::Read).collect::<Vec<_>>()
    };
    let held = [Reason::Right(&through), Reason::Right(&direct)];
    assert_eq!(why(None), held, "token and time are not looked at");
    assert_eq!(why(Some(Subject::User(uid(2)))), held);
    assert_eq!(why(Some(ALICE)), [&[Reason::Owner][..], &held].concat());
    let Some(Reason::Right(first)) = why(None).first().copied() else { panic!() };
    assert_eq!(first.group.as_deref(), Some("ml-team"));
}

#[test]
fn the_reasons_of_the_systems_own_actors_are_what_they_are() {
    let why = |actor: &Actor, action| {
        let told: Vec<_> =
            reasons(actor, Place::WholeStore, None, action).map(|why| format!("{why:?}")).collect();
        told
    };
    assert_eq!(why(&Actor::operator(), ActionKind::Delete), ["Operator"]);
    assert_eq!(why(&Actor::sync_worker(), ActionKind::Read), ["SyncWorker"]);
    assert!(why(&Actor::sync_worker(), ActionKind::Delete).is_empty());
}

#[test]
fn a_token_is_narrowed_by_either_of_what_it_leaves_out() {
    let shown = |narrowing| {
        let (name, subject) = ("user:alice".to_owned(), ALICE);
        let identity = Identity { name, subject, held: Vec::new(), grounds: Vec::new() };
        Actor::known(Arc::new(identity), Some(Arc::new(token(narrowing, None))))
    };
    let projects = Some(vec![project("default/ml")]);
    let actions = Some([ActionKind::List].into_iter().collect());
    assert!(!shown(Narrowing::default()).is_narrowed());
    assert!(shown(Narrowing { projects, actions: None }).is_narrowed());
    assert!(shown(Narrowing { projects: None, actions }).is_narrowed());
    assert!(!alice(Role::Admin, Scope::WholeStore).is_narrowed());
    assert!(!Actor::operator().is_narrowed());
}
