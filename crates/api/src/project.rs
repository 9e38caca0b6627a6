//! Projects and projections on the wire.

use std::collections::BTreeMap;

use domain::{
    Invalid, Labels, NamePattern, Namespace, ProjectName, ProjectionMode, ProjectionRule,
    ResourceVersion,
};
use serde::{Deserialize, Deserializer, Serialize};
use utoipa::ToSchema;

use crate::object::{nullable, nullable_objects, object, objects};
use crate::{ListMetadata, UniqueMap};

/// A projection rule.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RuleBody {
    /// `each`: one Kubernetes Secret per secret; `merged`: one per project, with an entry for each of
    /// its `variable` secrets.
    pub mode: String,
    /// The namespace.
    pub namespace: String,
    /// The Kubernetes Secret's name; `{name}` when left out, and `{project}` for a merged rule.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name_pattern: Option<String>,
    /// Labels for each Kubernetes Secret.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty", deserialize_with = "unique")]
    pub labels: BTreeMap<String, String>,
    /// Whether each Kubernetes Secret gets the labels of its secret too; not in a `merged` rule.
    /// Whoever writes a secret then says what the cluster's own controllers find by a label.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub secret_labels: bool,
}

fn unique<'de, D: Deserializer<'de>>(from: D) -> Result<BTreeMap<String, String>, D::Error> {
    UniqueMap::deserialize(from).map(|map| map.0)
}

impl RuleBody {
    fn check(&self) -> Result<ProjectionRule, Invalid> {
        let mode = ProjectionMode::parse(&self.mode)?;
        let name_pattern = match self.name_pattern.as_deref() {
            None => NamePattern::default_for(mode),
            Some(pattern) => NamePattern::parse(mode, pattern)?,
        };
        let namespace = Namespace::parse(&self.namespace)?;
        let labels = Labels::parse(self.labels.clone());
        let labels = labels.map_err(|wrong| Invalid::new("labels", wrong.fix))?;
        let secret_labels = self.secret_labels;
        let rule = ProjectionRule { mode, namespace, name_pattern, labels, secret_labels };
        rule.check()?;
        Ok(rule)
    }
}

impl From<&ProjectionRule> for RuleBody {
    fn from(rule: &ProjectionRule) -> Self {
        Self {
            mode: rule.mode.as_str().to_owned(),
            namespace: rule.namespace.as_str().to_owned(),
            name_pattern: Some(rule.name_pattern.as_str().to_owned()),
            labels: rule.labels.as_map().clone(),
            secret_labels: rule.secret_labels,
        }
    }
}

/// What a project is to be.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ProjectSpec {
    /// Where its secrets appear in Kubernetes.
    #[serde(default, deserialize_with = "objects")]
    pub projection_rules: Vec<RuleBody>,
    /// How many versions of a secret are kept, 1 to 100; as the daemon says when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1, maximum = 100)]
    pub keep_versions: Option<u32>,
}

impl ProjectSpec {
    /// Checks the rules.
    ///
    /// # Errors
    /// Names the rule and field at fault.
    pub fn rules(&self) -> Result<Vec<ProjectionRule>, Invalid> {
        check_rules(&self.projection_rules)
    }
}

/// The metadata of a project that is written.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ProjectWriteMetadata {
    /// Its name; needed when it is made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The resource version that the writer has seen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resource_version: Option<String>,
}

/// A project that is written.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ProjectWrite {
    /// Its name and version.
    #[serde(default, deserialize_with = "object")]
    pub metadata: ProjectWriteMetadata,
    /// What it is to be.
    #[serde(default, deserialize_with = "object")]
    pub spec: ProjectSpec,
}

impl ProjectWrite {
    /// The name of a project to be made.
    ///
    /// # Errors
    /// When it is missing or not a project's name.
    pub fn name(&self) -> Result<ProjectName, Invalid> {
        let name = self.metadata.name.as_deref().unwrap_or_default();
        ProjectName::parse(name).map_err(|wrong| Invalid::new("metadata.name", wrong.fix))
    }

    /// The resource version that the writer insists on.
    ///
    /// # Errors
    /// When it is none of ours.
    pub fn expected(&self) -> Result<Option<ResourceVersion>, Invalid> {
        self.metadata.resource_version.as_deref().map(ResourceVersion::parse).transpose()
    }
}

/// A change of a project, RFC 7396: what is left out stays, `null` takes a setting back.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ProjectPatch {
    /// Its name and version.
    #[serde(default, deserialize_with = "object")]
    pub metadata: ProjectWriteMetadata,
    /// What changes.
    #[serde(default, deserialize_with = "object")]
    pub spec: ProjectPatchSpec,
}

/// What changes in a project.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ProjectPatchSpec {
    /// All its rules, in place of those that there are; `null` for none.
    #[serde(
        default,
        deserialize_with = "nullable_objects",
        skip_serializing_if = "Option::is_none"
    )]
    #[schema(value_type = Option<Vec<RuleBody>>)]
    pub projection_rules: Option<Option<Vec<RuleBody>>>,
    /// How many versions of a secret are kept, 1 to 100; `null` as the daemon says.
    #[serde(default, deserialize_with = "nullable", skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<u32>, minimum = 1, maximum = 100)]
    pub keep_versions: Option<Option<u32>>,
}

impl ProjectPatch {
    /// The rules, if they change.
    ///
    /// # Errors
    /// Names the rule and field at fault.
    pub fn rules(&self) -> Result<Option<Vec<ProjectionRule>>, Invalid> {
        let Some(rules) = &self.spec.projection_rules else { return Ok(None) };
        check_rules(rules.as_deref().unwrap_or_default()).map(Some)
    }

    /// The resource version that the writer insists on.
    ///
    /// # Errors
    /// When it is none of ours.
    pub fn expected(&self) -> Result<Option<ResourceVersion>, Invalid> {
        self.metadata.resource_version.as_deref().map(ResourceVersion::parse).transpose()
    }
}

fn check_rules(rules: &[RuleBody]) -> Result<Vec<ProjectionRule>, Invalid> {
    let check = |(index, rule): (usize, &RuleBody)| {
        rule.check().map_err(|wrong| wrong.within(&format!("spec.projectionRules[{index}]")))
    };
    rules.iter().enumerate().map(check).collect()
}

/// A project's metadata.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ProjectMetadata {
    /// Its name.
    pub name: String,
    /// Its organization.
    pub organization: String,
    /// Its identity.
    pub uid: String,
    /// Its last change.
    pub resource_version: String,
    /// When it was made, RFC 3339.
    pub creation_timestamp: String,
    /// Who made it.
    pub created_by: String,
}

/// A project.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct ProjectBody {
    /// Its metadata.
    pub metadata: ProjectMetadata,
    /// What it is to be.
    pub spec: ProjectSpec,
}

/// Projects.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct ProjectList {
    /// The list's metadata.
    pub metadata: ListMetadata,
    /// The projects, by name.
    pub items: Vec<ProjectBody>,
}

/// One projection and how it stands.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ProjectionBody {
    /// The secret's name.
    pub secret: String,
    /// The secret's identity.
    pub uid: String,
    /// The cluster.
    pub cluster: String,
    /// The namespace.
    pub namespace: String,
    /// The Kubernetes Secret's name.
    pub name: String,
    /// How it stands: `Synced`, or why not.
    pub state: String,
    /// The version that was applied last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<u64>,
    /// The resource version that was applied last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resource_version: Option<String>,
    /// Since when the state holds, RFC 3339.
    pub since: String,
    /// What to do about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}

/// A project's projections.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct ProjectionList {
    /// The projections, by secret and place.
    pub items: Vec<ProjectionBody>,
}
