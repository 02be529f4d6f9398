"""What MLflow and artifact stores raise, as a user reads it."""

from __future__ import annotations

import pytest
from mlflow.exceptions import MlflowException

from stages.shared.core.errors import UserError
from stages.shared.tracking.refusals import refusals

ADDRESS, BUCKET = "https://anna:secret@mlflow.example.org", "s3://films/1/artifacts"


def of_client(module: str) -> Exception:
    """As an artifact store's client raises it; none of them is installed here."""
    error = type("ClientError", (Exception,), {"__module__": module})("Access Denied")
    assert isinstance(error, Exception)
    return error


@pytest.mark.parametrize(
    ("error", "remedy"),
    [
        (of_client("botocore.exceptions"), "AWS_ACCESS_KEY_ID"),
        (of_client("boto3.exceptions"), "AWS_ACCESS_KEY_ID"),
        (MlflowException("Access Denied"), "credentials"),
        (ModuleNotFoundError("No module named 'botocore'", name="botocore"), "pip install boto3"),
    ],
)
def test_an_artifact_store_that_refuses_is_named_with_a_remedy_and_no_password(error: Exception, remedy: str) -> None:
    with pytest.raises(UserError) as caught, refusals(ADDRESS, BUCKET):
        raise error
    message = str(caught.value)
    assert str(error) in message
    assert f"Artifacts: {BUCKET}." in message
    assert "mlflow.example.org" in message
    assert "secret" not in message
    assert remedy in message


@pytest.mark.parametrize("error", [ValueError("a mistake of ours"), ImportError("no module", name="stages.nothing")])
def test_a_mistake_of_the_code_stays_what_it_is(error: Exception) -> None:
    with pytest.raises(type(error), match=str(error)), refusals(ADDRESS, BUCKET):
        raise error
