"""Project templates as Service Catalog products: one stack with portfolio, products and role."""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from steward_cli.catalogue_roles import launch_role, renderer
from steward_cli.project_templates import Template

VISIBILITY = {"Key": "sagemaker:studio-visibility", "Value": "true"}
"""SageMaker Studio shows a product as a project template only with this tag on the product."""
_NAME = "^[a-z][a-z0-9-]{0,18}[a-z0-9]$"
_EPOCH = (1980, 1, 1, 0, 0, 0)


@dataclass(frozen=True)
class Seed:
    """What a product puts into a new repository.

    Attributes:
        template: The project template.
        archive: Its rendered files as a zip; the same files give the same bytes.
    """

    template: Template
    archive: bytes

    @property
    def digest(self) -> str:
        """SHA-256 of the archive."""
        return hashlib.sha256(self.archive).hexdigest()

    @property
    def key(self) -> str:
        """Where the archive lies in the artifacts bucket."""
        return f"catalogue/{self.template.name}/{self.digest}.zip"


def zipped(folder: Path) -> bytes:
    """Return a folder as a zip whose bytes depend on names and contents alone."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in sorted(folder.rglob("*")):
            if path.is_file() and "__pycache__" not in path.parts:
                entry = zipfile.ZipInfo(path.relative_to(folder).as_posix(), _EPOCH)
                entry.compress_type = zipfile.ZIP_DEFLATED
                entry.external_attr = 0o644 << 16
                archive.writestr(entry, path.read_bytes())
    return buffer.getvalue()


@dataclass(frozen=True)
class Place:
    """Where products are launched: of the stack that publishes them.

    Attributes:
        bucket: Holds seeds and templates.
        environment: Of the stack; repositories and pipelines bear it.
        catalogue: Name of the catalogue's stack, which exports the function that renders seeds.
        pipeline_url: Template of a project's pipeline.
        pipeline: Parameters that every pipeline of this stack has.
    """

    bucket: str
    environment: str
    catalogue: str
    pipeline_url: str
    pipeline: Mapping[str, object]


def product_template(seed: Seed, place: Place, placeholder: str) -> str:
    """Return what a product launches: a repository with the project in it, and its pipeline.

    Args:
        seed: The project template.
        place: Where it is launched.
        placeholder: Name of the project in the seed, replaced by the one that is asked for.
    """
    name = {"Ref": "SageMakerProjectName"}
    repository = {
        "Type": "AWS::CodeCommit::Repository",
        "Properties": {
            "RepositoryName": {"Fn::Sub": f"steward-{place.environment}-${{SageMakerProjectName}}"},
            "RepositoryDescription": seed.template.about,
            "Code": {
                "BranchName": "main",
                "S3": {"Bucket": place.bucket, "Key": {"Fn::GetAtt": ["Project", "Key"]}},
            },
            "Tags": [
                {"Key": "steward:project", "Value": name},
                {"Key": "sagemaker:project-name", "Value": name},
                {"Key": "sagemaker:project-id", "Value": {"Ref": "SageMakerProjectId"}},
            ],
        },
    }
    project = {
        "Type": "Custom::Project",
        "Properties": {
            "ServiceToken": {"Fn::ImportValue": export_of(place.catalogue)},
            "Bucket": place.bucket, "Seed": seed.key, "Placeholder": placeholder,
            "ProjectName": name,
        },
    }  # fmt: skip
    pipeline = {
        "Type": "AWS::CloudFormation::Stack",
        "Condition": "HasPipeline",
        "Properties": {
            "TemplateURL": place.pipeline_url,
            "Parameters": {
                **{key: str(value) for key, value in place.pipeline.items()},
                "Project": name, "Environment": place.environment, "SourceKind": "codecommit",
                "Repository": {"Fn::GetAtt": ["Repository", "Name"]},
                "ExecutionMode": {"Ref": "ExecutionMode"},
            },
            "Tags": [
                {"Key": "steward:project", "Value": name},
                {"Key": "steward:environment", "Value": place.environment},
            ],
        },
    }  # fmt: skip
    document = {
        "AWSTemplateFormatVersion": "2010-09-09",
        "Description": f"Steward: {seed.template.about}",
        "Parameters": {
            "SageMakerProjectName": {
                "Type": "String", "AllowedPattern": _NAME,
                "ConstraintDescription": f"{_NAME}, not ending in a hyphen",
                "Description": "Name of the project: lower-case letters, digits and hyphens, 2 to "
                               "20 characters. Names resources, so it is chosen once.",
            },
            "SageMakerProjectId": {
                "Type": "String", "Default": "", "Description": "Given by SageMaker.",
            },
            "WithPipeline": {
                "Type": "String", "Default": "yes", "AllowedValues": ["yes", "no"],
                "Description": "Whether a CodePipeline takes each commit to main.",
            },
            "ExecutionMode": {
                "Type": "String", "Default": "QUEUED", "AllowedValues": ["QUEUED", "SUPERSEDED"],
                "Description": "What a newer commit does to one that waits in the pipeline.",
            },
        },
        "Conditions": {"HasPipeline": {"Fn::Equals": [{"Ref": "WithPipeline"}, "yes"]}},
        "Resources": {"Project": project, "Repository": repository, "Pipeline": pipeline},
        "Outputs": {"CloneUrl": {"Value": {"Fn::GetAtt": ["Repository", "CloneUrlHttp"]}}},
    }  # fmt: skip
    return json.dumps(document, indent=1)


def export_of(catalogue: str) -> str:
    """Return the export under which a catalogue's stack names the function that renders seeds."""
    return f"{catalogue}-render-seed"


def catalogue_template(
    seeds: Sequence[Seed], urls: Mapping[str, str], principals: Sequence[str], place: Place
) -> dict[str, Any]:
    """Return the catalogue's stack.

    Args:
        urls: Where each product's template lies, by the project template's name.
        principals: ARNs of roles that may launch products.
        place: Where products are launched.
    """
    resources: dict[str, Any] = {
        "Portfolio": {
            "Type": "AWS::ServiceCatalog::Portfolio",
            "Properties": {
                "DisplayName": {"Fn::Sub": "Steward project templates (${AWS::StackName})"},
                "ProviderName": "Steward",
                "Description": "Repositories of models under Steward's care.",
            },
        },
        "LaunchRole": launch_role(place.bucket, str(place.pipeline["UseKeyPolicyArn"])),
        **renderer(place.bucket, place.catalogue, str(place.pipeline["UseKeyPolicyArn"])),
    }
    for seed in seeds:
        name = "".join(part.title() for part in seed.template.name.split("-"))
        resources[f"{name}Product"] = {
            "Type": "AWS::ServiceCatalog::CloudFormationProduct",
            "Properties": {
                "Name": f"Steward: {seed.template.title}",
                "Owner": "Steward",
                "Description": seed.template.about,
                "ReplaceProvisioningArtifacts": False,
                "ProvisioningArtifactParameters": [{
                    "Name": seed.digest[:12],
                    "Info": {"LoadTemplateFromURL": urls[seed.template.name]},
                }],
                "Tags": [VISIBILITY],
            },
        }  # fmt: skip
        resources[f"{name}InPortfolio"] = {
            "Type": "AWS::ServiceCatalog::PortfolioProductAssociation",
            "Properties": {"PortfolioId": {"Ref": "Portfolio"},
                           "ProductId": {"Ref": f"{name}Product"}},
        }  # fmt: skip
        resources[f"{name}Launch"] = {
            "Type": "AWS::ServiceCatalog::LaunchRoleConstraint",
            "DependsOn": f"{name}InPortfolio",
            "Properties": {
                "PortfolioId": {"Ref": "Portfolio"},
                "ProductId": {"Ref": f"{name}Product"},
                "RoleArn": {"Fn::GetAtt": ["LaunchRole", "Arn"]},
            },
        }
    for number, principal in enumerate(principals):
        resources[f"Principal{number}"] = {
            "Type": "AWS::ServiceCatalog::PortfolioPrincipalAssociation",
            "Properties": {"PortfolioId": {"Ref": "Portfolio"}, "PrincipalARN": principal,
                           "PrincipalType": "IAM"},
        }  # fmt: skip
    return {
        "AWSTemplateFormatVersion": "2010-09-09",
        "Description": "Steward's project templates, as SageMaker Studio and Service Catalog show.",
        "Resources": resources,
        "Outputs": {
            "PortfolioId": {"Value": {"Ref": "Portfolio"}},
            "RenderSeedArn": {
                "Value": {"Fn::GetAtt": ["RenderSeed", "Arn"]},
                "Export": {"Name": export_of(place.catalogue)},
            },
        },
    }
