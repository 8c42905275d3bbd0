"""Lambda on the embedded AWS: what a function sees, and what its callers and logs see."""

import json
import re

import pytest

from support.embedded import Account, eventually, unique, zipped

pytestmark = pytest.mark.integration


def _layer(account: Account, files: dict[str, str]) -> str:
    published = account.client("lambda").publish_layer_version(
        LayerName=unique("layer"), Content={"ZipFile": zipped(files)}
    )
    return str(published["LayerVersionArn"])


def test_function_imports_from_its_layers_and_code_precedes_them(account: Account) -> None:
    layers = [
        _layer(account, {"python/shelf.py": "NAME = 'first'", "python/app.py": "broken ="}),
        _layer(account, {"python/shelf.py": "NAME = 'second'"}),
    ]
    name = account.function(
        """
        import shelf
        def handler(event, context):
            return {"shelf": shelf.NAME, "event": event}
        """,
        Layers=layers,
    )
    assert account.invoke(name, {"a": 1}) == ({"shelf": "second", "event": {"a": 1}}, None)


def test_a_layer_that_brings_the_sdk_itself_lies_over_the_runtimes(account: Account) -> None:
    """It shares no process that has imported the runtime's."""
    layer = _layer(account, {"python/boto3/__init__.py": "__version__ = 'of the layer'"})
    source = "import boto3\ndef handler(event, context): return boto3.__version__"
    assert account.invoke(account.function(source, Layers=[layer])) == ("of the layer", None)


def test_environments_are_processes_of_their_own(account: Account) -> None:
    source = """
        import os, random
        import boto3
        SEEN = []
        def handler(event, context):
            if event == "end":
                os._exit(3)
            SEEN.append(event)
            return [os.getpid(), random.random(), SEEN, os.environ["OF"], os.getcwd()]
        """
    names = [account.function(source, Environment={"Variables": {"OF": of}}) for of in "ab"]
    (first, _), (second, _) = [account.invoke(name, name) for name in names]
    assert [first[2], second[2]] == [[names[0]], [names[1]]]
    assert (first[3], second[3]) == ("a", "b")
    assert len({first[0], second[0]}) == len({first[1], second[1]}) == 2
    body, _ = account.invoke(names[0], "end")
    assert body["errorType"] == "Runtime.ExitError"
    assert body["errorMessage"].endswith("Runtime exited with error: exit status 3")
    (again, _), (still, _) = [account.invoke(name, "next") for name in names]
    assert again[2] == ["next"]
    assert still[:1] + still[2:3] == [second[0], [names[1], "next"]]


@pytest.mark.parametrize("module", ["pydantic", "aws_lambda_powertools", "numpy", "ministack"])
def test_package_that_no_layer_brings_cannot_be_imported(account: Account, module: str) -> None:
    name = account.function(f"import {module}\ndef handler(event, context): ...")
    body, error = account.invoke(name)
    assert error == "Unhandled"
    assert body["errorType"] == "Runtime.ImportModuleError"
    assert body["errorMessage"] == f"Unable to import module 'app': No module named '{module}'"


def test_function_has_the_runtime_sdk_and_only_its_roles_credentials(account: Account) -> None:
    name = account.function(
        """
        import os
        import boto3
        def handler(event, context):
            own = boto3.client("sts").get_caller_identity()["Arn"]
            secrets = [k for k in os.environ if "SECRET" in k or k == "AWS_ACCESS_KEY_ID"]
            return {"own": own, "secrets": sorted(secrets), "root": os.environ.get("PYTHONPATH")}
        """
    )
    body, _ = account.invoke(name)
    role = account.client("lambda").get_function_configuration(FunctionName=name)["Role"]
    assert body["own"].endswith(f":assumed-role/{role.rpartition('/')[2]}/{name}")
    assert body["secrets"] == ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"]
    assert body["root"] is None


def test_role_without_the_permission_is_refused(account: Account) -> None:
    name = account.function(
        """
        import boto3
        from botocore.exceptions import ClientError
        def handler(event, context):
            try:
                boto3.client("s3").list_buckets()
            except ClientError as problem:
                return problem.response["Error"]["Code"]
        """
    )
    assert account.invoke(name) == ("AccessDenied", None)


def test_error_names_the_exception_class_and_the_environment_goes_on(account: Account) -> None:
    name = account.function(
        """
        calls = 0
        class OutOfCoffeeError(Exception): ...
        def handler(event, context):
            global calls
            calls += 1
            if event == "fail":
                raise OutOfCoffeeError("no beans")
            return calls
        """
    )
    assert account.invoke(name, "go") == (1, None)
    body, error = account.invoke(name, "fail")
    assert (body["errorType"], body["errorMessage"], error) == (
        "OutOfCoffeeError",
        "no beans",
        "Unhandled",
    )
    assert len(body["stackTrace"]) == 1
    assert "raise OutOfCoffeeError" in body["stackTrace"][0]
    assert account.invoke(name, "go") == (3, None)


def test_timeout_ends_the_invocation(account: Account) -> None:
    name = account.function("import time\ndef handler(event, context): time.sleep(60)", Timeout=1)
    body, error = account.invoke(name)
    assert error == "Unhandled"
    assert body["errorType"] == "Sandbox.Timedout"
    assert body["errorMessage"].endswith("Error: Task timed out after 1.00 seconds")


def test_function_that_outgrows_its_memory_is_killed(account: Account) -> None:
    name = account.function(
        """
        import time
        def handler(event, context):
            held = bytearray(300 * 1024 * 1024)
            held[::4096] = b"x" * len(held[::4096])
            time.sleep(5)
        """,
        MemorySize=128,
    )
    body, _ = account.invoke(name)
    assert body["errorType"] == "Runtime.OutOfMemory"


def test_answer_that_is_not_json_is_a_marshal_error(account: Account) -> None:
    name = account.function("def handler(event, context): return object()")
    body, _ = account.invoke(name)
    assert body["errorType"] == "Runtime.MarshalError"


def test_log_group_has_every_line_of_an_invocation_in_order(account: Account) -> None:
    name = account.function(
        """
        import logging, sys, os
        print("at import")
        def handler(event, context):
            print("to stdout")
            sys.stderr.write("to stderr\\n")
            logging.getLogger().error("by logging")
            os.write(1, b"by the descriptor\\n")
            for number in range(500):
                print("line", number)
            return context.log_stream_name
        """
    )
    stream, _ = account.invoke(name)
    lines = eventually(lambda: account.log_lines(f"/aws/lambda/{name}"))
    assert lines[0].startswith("START RequestId: ")
    assert lines[1:4] == ["at import", "to stdout", "to stderr"]
    assert re.fullmatch(r"\[ERROR\]\t\d{4}-.*Z\t[0-9a-f-]{36}\tby logging", lines[4])
    assert lines[5] == "by the descriptor"
    assert lines[6:506] == [f"line {number}" for number in range(500)]
    assert lines[506].startswith("END RequestId: ")
    assert "Init Duration: " in lines[507]
    streams = account.client("logs").describe_log_streams(logGroupName=f"/aws/lambda/{name}")
    assert [found["logStreamName"] for found in streams["logStreams"]] == [stream]


def test_invocations_of_one_environment_share_a_log_stream(account: Account) -> None:
    name = account.function("def handler(event, context): print(event)")
    account.invoke(name, "one")
    account.invoke(name, "two")
    streams = account.client("logs").describe_log_streams(logGroupName=f"/aws/lambda/{name}")
    assert len(streams["logStreams"]) == 1
    lines = account.log_lines(f"/aws/lambda/{name}")
    assert [line for line in lines if line in ("one", "two")] == ["one", "two"]


def test_async_failure_reaches_the_destination_after_its_retries(account: Account) -> None:
    url, arn = account.queue()
    name = account.function(
        "def handler(event, context): raise ValueError('bad event')",
        statements=[{"Effect": "Allow", "Action": "sqs:SendMessage", "Resource": arn}],
    )
    account.client("lambda").put_function_event_invoke_config(
        FunctionName=name,
        MaximumRetryAttempts=0,
        DestinationConfig={"OnFailure": {"Destination": arn}},
    )
    account.client("lambda").invoke(
        FunctionName=name, InvocationType="Event", Payload=json.dumps({"n": 1}).encode()
    )
    [message] = eventually(lambda: list(account.received(url)))
    assert message["body"]["requestPayload"] == {"n": 1}
    assert message["body"]["requestContext"]["condition"] == "RetriesExhausted"
    assert message["body"]["requestContext"]["approximateInvokeCount"] == 1
    assert message["body"]["responsePayload"]["errorType"] == "ValueError"


def test_async_failure_of_a_function_that_may_not_send_reaches_nothing(account: Account) -> None:
    url, arn = account.queue()
    name = account.function("def handler(event, context): raise ValueError('bad event')")
    account.client("lambda").put_function_event_invoke_config(
        FunctionName=name,
        MaximumRetryAttempts=0,
        DestinationConfig={"OnFailure": {"Destination": arn}},
    )
    account.client("lambda").invoke(FunctionName=name, InvocationType="Event", Payload=b"{}")
    eventually(
        lambda: f"{name}: destination failed" in account.engine.log.read_text(),
        what="the refusal in the engine's log",
    )
    assert list(account.received(url)) == []


def test_function_that_invokes_itself_is_stopped(account: Account) -> None:
    name = account.function(
        """
        import json, os
        import boto3
        client = boto3.client("lambda")
        def handler(event, context):
            try:
                answer = client.invoke(
                    FunctionName=context.function_name, Payload=json.dumps(event + 1)
                )
            except client.exceptions.ClientError as problem:
                return [event, problem.response["Error"]["Code"]]
            return json.loads(answer["Payload"].read())
        """,
        statements=[{"Effect": "Allow", "Action": "lambda:InvokeFunction", "Resource": "*"}],
        Timeout=60,
    )
    assert account.invoke(name, 1) == ([16, "RecursiveInvocationException"], None)
