//! Who may do what with a secret, and why.

use authz::{
    ActionKind, Actor, Administer, Audit, Denied, Held, KnownSecret, List, Permit, Place, Reason,
    Scope, Share, WholeStore, decide, reasons, reasons_to_use,
};
use domain::{
    Invalid, OrgName, PrincipalName, ProjectName, ProjectPath, SecretName, SecretPath, Uid,
};
use store::{Head, PrincipalKind};

use crate::grants::known;
use crate::workloads::bound_as;
use crate::{AccessView, Vault, VaultError};

/// The right to know who may do what with a secret.
pub enum AccessPermit {
    /// Of who administers the project.
    Administer(Permit<Administer, ProjectPath>),
    /// Of who sees the audit log.
    Audit(Permit<Audit, WholeStore>),
    /// Of who shares the secret.
    Share(Permit<Share, SecretPath>),
}

/// A question: may someone do something?
pub struct Review {
    /// Who; the one who asks when nobody is named.
    pub subject: Option<(PrincipalKind, PrincipalName)>,
    /// Where.
    pub scope: Scope,
    /// What.
    pub action: ActionKind,
    /// In a workload of which project, for a secret that is bound there.
    pub within: Option<ProjectPath>,
}

/// The answer, with all reasons there are.
pub struct Reviewed {
    /// Whether they may.
    pub allowed: bool,
    /// Why.
    pub reasons: Vec<String>,
}

impl Vault {
    /// Decides whether an actor may know who may do what with a secret.
    ///
    /// # Errors
    /// Why not.
    pub fn permit_access(
        &self,
        actor: &Actor,
        path: &SecretPath,
    ) -> Result<AccessPermit, VaultError> {
        let now = self.clock.now();
        if let Ok(permit) = decide::<Administer, _>(actor, path.project.clone(), now) {
            return Ok(AccessPermit::Administer(permit));
        }
        if let Ok(permit) = decide::<Audit, _>(actor, WholeStore, now) {
            return Ok(AccessPermit::Audit(permit));
        }
        self.permit::<Share>(actor, path.clone()).map(AccessPermit::Share)
    }

    /// Everyone who may do anything with a secret, and why: users, machine accounts, and tokens that
    /// belong to nobody. What tokens of accounts leave of it is not looked at.
    ///
    /// # Errors
    /// When there is no such secret.
    pub fn access(
        &self,
        _permit: &AccessPermit,
        path: &SecretPath,
    ) -> Result<Vec<AccessView>, VaultError> {
        let (head, _) = self.head(path)?;
        let secret = known(&head);
        let now = self.clock.now();
        let mut found = Vec::new();
        for principal in self.rights.principals() {
            let record = &principal.record;
            if record.kind == PrincipalKind::Group {
                continue;
            }
            if let Some(actor) = self.rights.identity_of(record.uid) {
                let (name, disabled) = (record.full_name(), record.disabled);
                found.extend(self.access_of(&actor, name, disabled, &secret, &head));
            }
        }
        for token in self.rights.tokens() {
            if let Some(actor) = token.own_actor().filter(|_| token.lasts(now)) {
                found.extend(self.access_of(&actor, actor.name(), false, &secret, &head));
            }
        }
        Ok(found)
    }

    /// Answers whether someone may do something. Anybody may ask about themselves; about others, who
    /// gives rights there or sees the audit log.
    ///
    /// # Errors
    /// When the actor may not ask, or nobody has that name.
    pub fn review(&self, actor: &Actor, review: &Review) -> Result<Reviewed, VaultError> {
        let asked = match &review.subject {
            None => actor.clone(),
            Some((kind, name)) => self.other(actor, (*kind, name), &review.scope)?,
        };
        let head = match &review.scope {
            Scope::Below(path) => match self.head(path) {
                Ok((head, _)) => Some(head),
                Err(VaultError::NotFound) => None,
                Err(error) => return Err(error),
            },
            _ => None,
        };
        let reasons = match (&review.within, &head) {
            (Some(project), head) => {
                self.reasons_within(&asked, (&review.scope, head.as_ref()), review.action, project)?
            }
            (None, Some(head)) => {
                let secret = known(head);
                let place = Place::Secret(&secret.path, Some(secret.uid));
                self.shown(reasons(&asked, place, secret.owner, review.action))
            }
            (None, None) => self.shown(reasons(&asked, review.scope.place(), None, review.action)),
        };
        // The token that is asked with may leave less.
        let narrowed = review.subject.is_none() && !self.is_left(&asked, review, head.as_ref());
        let shut_out = asked.identity().is_some_and(|identity| {
            let found = self.rights.principal(identity.subject.uid());
            found.is_some_and(|found| found.record.disabled)
        });
        let allowed = !reasons.is_empty() && !narrowed && !shut_out;
        Ok(Reviewed { allowed, reasons: if allowed { reasons } else { Vec::new() } })
    }

    fn other(
        &self,
        actor: &Actor,
        (kind, name): (PrincipalKind, &PrincipalName),
        scope: &Scope,
    ) -> Result<Actor, VaultError> {
        let may = decide::<Audit, _>(actor, WholeStore, self.clock.now()).is_ok()
            || self.permit_granting(actor, scope).is_ok();
        let found = self.rights.named(kind, name.as_str());
        let uid = found.as_ref().map(|found| found.record.uid);
        let is_self = uid.is_some() && uid == self.own_principal(actor);
        if !may && !is_self {
            return Err(VaultError::NotPermitted(Denied::Forbidden));
        }
        let known = uid.and_then(|uid: Uid| self.rights.identity_of(uid));
        Ok(known.ok_or_else(|| Invalid::new("subject", "must be someone who exists"))?)
    }

    fn reasons_within(
        &self,
        asked: &Actor,
        (scope, head): (&Scope, Option<&Head>),
        action: ActionKind,
        project: &ProjectPath,
    ) -> Result<Vec<String>, VaultError> {
        if action != ActionKind::Use || !matches!(scope, Scope::Below(_)) {
            let fix = "must be left out, except for the action `use` of a secret";
            return Err(Invalid::new("project", fix).into());
        }
        let Some(head) = head else { return Ok(Vec::new()) };
        let secret = known(head);
        if head.path.project == *project {
            let place = Place::Secret(&secret.path, Some(secret.uid));
            return Ok(self.shown(reasons(asked, place, secret.owner, action)));
        }
        let Some(kind) = bound_as(head, project) else { return Ok(Vec::new()) };
        Ok(self.shown(reasons_to_use(asked, &secret, (project, kind))))
    }

    fn is_left(&self, asked: &Actor, review: &Review, head: Option<&Head>) -> bool {
        let place = review.scope.place();
        let Some(token) = asked.token() else { return true };
        let narrowing = &token.narrowing;
        let project = match &review.within {
            Some(project) if head.is_some() => Some(project),
            _ => place.project(),
        };
        narrowing.actions.is_none_or(|left| left.contains(review.action))
            && narrowing
                .projects
                .as_ref()
                .is_none_or(|named| project.is_some_and(|project| named.contains(project)))
    }

    fn access_of(
        &self,
        actor: &Actor,
        subject: String,
        disabled: bool,
        secret: &KnownSecret,
        head: &Head,
    ) -> Option<AccessView> {
        let place = Place::Secret(&secret.path, Some(secret.uid));
        let mut actions: Vec<(ActionKind, Vec<String>)> = Vec::new();
        for action in ActionKind::ALL {
            let mut why = self.shown(reasons(actor, place, secret.owner, action));
            if action == ActionKind::Use {
                for binding in &head.bindings {
                    let bound = (&binding.project, binding.kind);
                    let there = reasons_to_use(actor, secret, bound);
                    let members = there.filter(|why| matches!(why, Reason::MembersBinding(_)));
                    why.extend(self.shown(members));
                }
            }
            if !why.is_empty() {
                actions.push((action, why));
            }
        }
        (!actions.is_empty()).then_some(AccessView { subject, disabled, actions })
    }

    fn shown<'a>(&self, reasons: impl Iterator<Item = Reason<'a>>) -> Vec<String> {
        let role = |held: &Held| {
            let uri = self.uri_of(held.right.scope());
            let through = held.group.as_ref().map(|name| format!(", through group:{name}"));
            format!("{} on {uri}{}", held.right.role(), through.unwrap_or_default())
        };
        let show = |reason| match reason {
            Reason::MembersBinding(held) => format!("bound for members, and {}", role(held)),
            Reason::Operator => "the operator".to_owned(),
            Reason::Owner => "owns it".to_owned(),
            Reason::Right(held) => role(held),
            Reason::SyncWorker => "the sync worker".to_owned(),
        };
        reasons.map(show).collect()
    }

    /// Whether an actor may see a secret's metadata: for lists and watches, which decide about each.
    pub fn may_list(&self, actor: &Actor, head: &Head) -> bool {
        let now = self.clock.now();
        authz::decide_known::<List>(actor, known(head), now).is_ok()
    }
}

impl Vault {
    /// The URI of a secret.
    pub fn secret_uri(&self, path: &SecretPath) -> String {
        self.uri_of(&Scope::Below(path.clone()))
    }

    /// The URI of what these names stand for: all of them when that was seen to be there, else as
    /// far as it is. What leads nowhere is not repeated.
    pub fn known_uri(
        &self,
        org: &str,
        project: Option<&str>,
        name: Option<&str>,
        seen: bool,
    ) -> Option<String> {
        let org = OrgName::parse(org).ok()?;
        let is_there = seen || org == OrgName::default_org() || self.rights.org(&org).is_some();
        if !is_there {
            return None;
        }
        let Some(project) = project.and_then(|project| ProjectName::parse(project).ok()) else {
            return Some(self.uri_of(&Scope::Org(org)));
        };
        let path = ProjectPath { org, project };
        if !seen && self.project_record(&path).is_err() {
            return Some(self.uri_of(&Scope::Org(path.org)));
        }
        let Some(name) = name.and_then(|name| SecretName::parse(name).ok()) else {
            return Some(self.uri_of(&Scope::Project(path)));
        };
        let secret = SecretPath { project: path, name };
        let lives = || self.head(&secret).is_ok();
        let lived = || self.deleted_head(&secret, None).is_ok_and(|found| found.is_some());
        match seen || lives() || lived() {
            true => Some(self.secret_uri(&secret)),
            false => Some(self.uri_of(&Scope::Project(secret.project))),
        }
    }

    /// Whether a text is the identity of a token or of a grant.
    pub fn knows_id(&self, text: &str) -> bool {
        let Ok(id) = Uid::parse(text) else { return false };
        let grants = |principal: &crate::rights::Principal| {
            principal.record.grants.iter().any(|grant| grant.id == id)
        };
        self.rights.token(id).is_some() || self.rights.principals().iter().any(|p| grants(p))
    }

    /// Whether a name is somebody's.
    pub fn knows_principal(&self, name: &str) -> bool {
        let kinds = [PrincipalKind::Group, PrincipalKind::Machine, PrincipalKind::User];
        kinds.into_iter().any(|kind| self.rights.named(kind, name).is_some())
    }
}
