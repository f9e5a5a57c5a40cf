from pathlib import Path

import pytest

from modeling_erc.__main__ import main
from tests.hub_server import HubServer, Reply


def test_the_url_of_the_commit_is_printed(hub: HubServer, checkpoint: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["push", str(checkpoint), "me/erc", "--private", "--revision", "v1", "--message", "The first"])
    repository = hub.repositories["model", "me/erc"]
    assert repository.private
    last = repository.branches["v1"][-1]
    assert last.title == "The first"
    assert f"pushed: {hub.url}/me/erc/commit/{last.sha}" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["gone", "me/erc"], "FileNotFoundError: gone: no such folder"),
        (["{checkpoint}", "me/erc/x"], "HFValidationError: Repo id must be in the form"),
        (["{checkpoint}", "me/erc"], "PushError: me/erc was not pushed: the Hub answered 403 (quota)"),
    ],
    ids=["no folder", "no name", "refused"],
)
def test_errors_are_printed_without_a_traceback(
    hub: HubServer, checkpoint: Path, words: list[str], message: str
) -> None:
    hub.fail("POST", ".*/commit/.*", Reply.json({"error": "quota"}, 403))
    with pytest.raises(SystemExit) as stopped:
        main(["push", *(word.format(checkpoint=checkpoint) for word in words)])
    assert str(stopped.value.code).startswith(message)


def test_help_lists_the_pushed_files(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(["push", "--help"])
    assert stopped.value.code == 0
    assert "*.safetensors" in capsys.readouterr().out
