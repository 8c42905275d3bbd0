"""The object store's contract, kept by S3's adapter and by the fake."""

import hashlib
from pathlib import Path

import pytest

from steward.adapters.clients import Clients
from steward.adapters.objects import S3ObjectStore
from steward.domain.errors import EvidenceIncompleteError, RejectedError
from steward.ports import ObjectStore
from support.fakes import FakeObjects

pytestmark = pytest.mark.usefixtures("isolated")

CONTENT = b"patient_id,age\np001,59\n"
DIGEST = hashlib.sha256(CONTENT).hexdigest()


def create_bucket(clients: Clients, name: str) -> None:
    """Create a versioned bucket."""
    s3 = clients.get("s3")
    s3.create_bucket(Bucket=name)
    s3.put_bucket_versioning(Bucket=name, VersioningConfiguration={"Status": "Enabled"})


@pytest.fixture(params=["fake", "s3"])
def objects(request: pytest.FixtureRequest) -> ObjectStore:
    if request.param == "fake":
        return FakeObjects()
    clients: Clients = request.getfixturevalue("aws")
    create_bucket(clients, "data")
    create_bucket(clients, "artifacts")
    return S3ObjectStore(clients.get("s3"))


def test_what_was_written_is_read_back(objects: ObjectStore) -> None:
    assert objects.write("s3://data/a/b c+ü.csv", CONTENT, "text/csv") == DIGEST

    assert objects.read("s3://data/a/b c+ü.csv") == CONTENT
    with objects.open("s3://data/a/b c+ü.csv") as stream:
        assert stream.readline() == b"patient_id,age\n"
        assert stream.read() == b"p001,59\n"


def test_what_is_written_once_is_never_replaced(objects: ObjectStore) -> None:
    assert objects.write_once("s3://data/verdicts/1.json", CONTENT)
    assert not objects.write_once("s3://data/verdicts/1.json", b"other")
    assert objects.read("s3://data/verdicts/1.json") == CONTENT


def test_an_earlier_version_is_read_as_it_was(objects: ObjectStore) -> None:
    objects.write("s3://data/k", CONTENT)
    first = objects.describe("data", "k")
    assert first is not None
    objects.write("s3://data/k", b"later")
    assert objects.read("s3://data/k") == b"later"
    assert objects.read("s3://data/k", first.version_id) == CONTENT
    with pytest.raises(EvidenceIncompleteError):
        objects.read("s3://data/gone", first.version_id)


def test_an_empty_object_is_an_object(objects: ObjectStore) -> None:
    objects.write("s3://data/empty", b"")

    assert objects.read("s3://data/empty") == b""
    info = objects.describe("data", "empty")
    assert info is not None
    assert info.size == 0


def test_what_is_written_in_one_piece_is_described_with_its_digest(objects: ObjectStore) -> None:
    objects.write("s3://data/k", CONTENT)

    info = objects.describe("data", "k")

    assert info is not None
    assert (info.bucket, info.key, info.size, info.sha256) == ("data", "k", len(CONTENT), DIGEST)
    assert info.version_id
    assert objects.sha256("data", "k") == DIGEST


def test_what_is_missing_is_missing_evidence(objects: ObjectStore, tmp_path: Path) -> None:
    assert objects.describe("data", "none") is None
    with pytest.raises(EvidenceIncompleteError, match="none"):
        objects.read("s3://data/none")
    with pytest.raises(EvidenceIncompleteError):
        objects.open("s3://data/none")
    with pytest.raises(EvidenceIncompleteError):
        objects.sha256("data", "none")
    with pytest.raises(EvidenceIncompleteError):
        objects.download("data", "none", str(tmp_path / "x"))
    with pytest.raises(EvidenceIncompleteError):
        objects.copy("s3://data/none", "s3://data/other")


@pytest.mark.parametrize("uri", ["", "data/k", "s3://data", "s3://data/", "https://data/k"])
def test_what_is_no_s3_uri_is_refused(objects: ObjectStore, uri: str) -> None:
    with pytest.raises(RejectedError):
        objects.read(uri)


def test_an_older_version_can_still_be_had(objects: ObjectStore, tmp_path: Path) -> None:
    objects.write("s3://data/k", CONTENT)
    first = objects.describe("data", "k")
    assert first is not None
    objects.write("s3://data/k", b"newer")

    path = tmp_path / "first.csv"
    objects.download("data", "k", str(path), first.version_id)
    objects.copy("s3://data/k", "s3://artifacts/copy", first.version_id)

    assert path.read_bytes() == objects.read("s3://artifacts/copy") == CONTENT
    assert objects.sha256("data", "k", first.version_id) == DIGEST
    assert objects.describe("data", "k", first.version_id) == first
    assert objects.read("s3://data/k") == b"newer"


def test_a_file_is_uploaded_and_downloaded(objects: ObjectStore, tmp_path: Path) -> None:
    source, target = tmp_path / "in.csv", tmp_path / "out.csv"
    source.write_bytes(CONTENT)

    assert objects.upload(str(source), "s3://data/k", "text/csv") == DIGEST
    objects.download("data", "k", str(target))

    assert target.read_bytes() == CONTENT
    info = objects.describe("data", "k")
    assert info is not None
    assert info.sha256 == DIGEST


def test_a_copy_has_its_digest(objects: ObjectStore) -> None:
    objects.write("s3://data/k", CONTENT)

    objects.copy("s3://data/k", "s3://artifacts/there")

    info = objects.describe("artifacts", "there")
    assert info is not None
    assert info.sha256 == DIGEST


def test_a_listing_goes_in_key_order_through_all_pages(objects: ObjectStore) -> None:
    for key in ("p/b", "p/a/2", "p/a/1", "q/c"):
        objects.write(f"s3://data/{key}", CONTENT)

    found = list(objects.list("data", "p/"))

    assert [info.key for info in found] == ["p/a/1", "p/a/2", "p/b"]
    assert {info.size for info in found} == {len(CONTENT)}
    assert list(objects.list("data", "nothing/")) == []


def test_every_version_is_listed_and_one_is_removed_for_good(objects: ObjectStore) -> None:
    for content in (CONTENT, b"other"):
        objects.write("s3://data/a/k", content)
    objects.write("s3://data/b/k", CONTENT)

    found = list(objects.versions("data", "a/"))
    [first] = [info for info in found if info.size == len(CONTENT)]
    assert len(found) == 2
    assert first.version_id is not None
    objects.remove("data", "a/k", first.version_id)
    objects.remove("data", "a/k", first.version_id)

    [left] = objects.versions("data", "a/")
    assert objects.read("s3://data/a/k") == b"other"
    assert objects.describe("data", "a/k", first.version_id) is None
    assert left.version_id is not None
    objects.remove("data", "a/k", left.version_id)
    assert list(objects.versions("data", "a/")) == []
    assert objects.read("s3://data/b/k") == CONTENT


def test_tags_are_those_that_were_given_also_of_a_copy(objects: ObjectStore) -> None:
    objects.write("s3://data/k", CONTENT, tags={"kept": "7"})
    objects.copy("s3://data/k", "s3://data/copy", tags={"steward:expires-after-days": "30"})

    assert _tags(objects, "data", "k") == {"kept": "7"}
    assert _tags(objects, "data", "copy") == {"steward:expires-after-days": "30"}


def _tags(objects: ObjectStore, bucket: str, key: str) -> dict[str, str]:
    if isinstance(objects, FakeObjects):
        return objects.tags[f"s3://{bucket}/{key}"]
    assert isinstance(objects, S3ObjectStore)
    found = objects._client.get_object_tagging(Bucket=bucket, Key=key)["TagSet"]
    return {tag["Key"]: tag["Value"] for tag in found}
