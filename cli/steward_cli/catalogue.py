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

from steward_cli.project_templates import Template

VISIBILITY = {"Key": "sagemaker:studio-visibility", "Value": "true"}
"""SageMaker Studio shows a product as a project template only with this tag on the product."""
_NAME = "^[a-z][a-z0-9-]{1,19}$"
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


def product_template(seed: Seed, bucket: str) -> str:
    """Return what a product launches: a repository with the seed in it.

    Args:
        bucket: Holds the seed.
    """
    repository = {
        "Type": "AWS::CodeCommit::Repository",
        "Properties": {
            "RepositoryName": {"Fn::Sub": "steward-${SageMakerProjectName}"},
            "RepositoryDescription": seed.template.about,
            "Code": {"BranchName": "main", "S3": {"Bucket": bucket, "Key": seed.key}},
            "Tags": [
                {"Key": "steward:project", "Value": {"Ref": "SageMakerProjectName"}},
                {"Key": "sagemaker:project-name", "Value": {"Ref": "SageMakerProjectName"}},
                {"Key": "sagemaker:project-id", "Value": {"Ref": "SageMakerProjectId"}},
            ],
        },
    }
    document = {
        "AWSTemplateFormatVersion": "2010-09-09",
        "Description": f"Steward: {seed.template.about}",
        "Parameters": {
            "SageMakerProjectName": {
                "Type": "String", "AllowedPattern": _NAME,
                "Description": "Lower-case letters, digits and hyphens, 2 to 20 characters.",
            },
            "SageMakerProjectId": {
                "Type": "String", "Default": "", "Description": "Given by SageMaker.",
            },
        },
        "Resources": {"Repository": repository},
        "Outputs": {"CloneUrl": {"Value": {"Fn::GetAtt": ["Repository", "CloneUrlHttp"]}}},
    }  # fmt: skip
    return json.dumps(document, indent=1)


def catalogue_template(
    seeds: Sequence[Seed], urls: Mapping[str, str], principals: Sequence[str], bucket: str
) -> dict[str, Any]:
    """Return the catalogue's stack.

    Args:
        urls: Where each product's template lies, by the project template's name.
        principals: ARNs of roles that may launch products.
        bucket: Holds the seeds, which the launch role reads.
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
        "LaunchRole": _launch_role(bucket),
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
    for place, principal in enumerate(principals):
        resources[f"Principal{place}"] = {
            "Type": "AWS::ServiceCatalog::PortfolioPrincipalAssociation",
            "Properties": {"PortfolioId": {"Ref": "Portfolio"}, "PrincipalARN": principal,
                           "PrincipalType": "IAM"},
        }  # fmt: skip
    return {
        "AWSTemplateFormatVersion": "2010-09-09",
        "Description": "Steward's project templates, as SageMaker Studio and Service Catalog show.",
        "Resources": resources,
        "Outputs": {"PortfolioId": {"Value": {"Ref": "Portfolio"}}},
    }


def _launch_role(bucket: str) -> dict[str, Any]:
    repositories = {"Fn::Sub": "arn:${AWS::Partition}:codecommit:${AWS::Region}:"
                               "${AWS::AccountId}:steward-*"}  # fmt: skip
    stacks = {"Fn::Sub": "arn:${AWS::Partition}:cloudformation:${AWS::Region}:"
                         "${AWS::AccountId}:stack/SC-*"}  # fmt: skip
    return {
        "Type": "AWS::IAM::Role",
        "Properties": {
            "AssumeRolePolicyDocument": {
                "Version": "2012-10-17",
                "Statement": [{
                    "Effect": "Allow", "Action": "sts:AssumeRole",
                    "Principal": {"Service": "servicecatalog.amazonaws.com"},
                }],
            },
            "Policies": [{
                "PolicyName": "LaunchProjects",
                "PolicyDocument": {
                    "Version": "2012-10-17",
                    "Statement": [
                        {"Effect": "Allow", "Resource": repositories, "Action": [
                            "codecommit:CreateCommit", "codecommit:CreateRepository",
                            "codecommit:DeleteRepository", "codecommit:GetRepository",
                            "codecommit:ListTagsForResource", "codecommit:TagResource",
                            "codecommit:UntagResource",
                        ]},
                        {"Effect": "Allow", "Resource": {
                            "Fn::Sub": f"arn:${{AWS::Partition}}:s3:::{bucket}/catalogue/*",
                        }, "Action": ["s3:GetObject", "s3:GetObjectVersion"]},
                        {"Effect": "Allow", "Resource": stacks, "Action": [
                            "cloudformation:CreateStack", "cloudformation:DeleteStack",
                            "cloudformation:DescribeStackEvents", "cloudformation:DescribeStacks",
                            "cloudformation:SetStackPolicy", "cloudformation:UpdateStack",
                        ]},
                        {"Effect": "Allow", "Resource": "*", "Action": [
                            "cloudformation:GetTemplateSummary", "cloudformation:ValidateTemplate",
                        ]},
                    ],
                },
            }],
        },
    }  # fmt: skip
