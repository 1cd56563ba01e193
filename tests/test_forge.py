"""What a public forge reads: workflow, forms and hooks are valid, and name only targets, verbs and files that exist."""

from __future__ import annotations

import re
import shlex
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

from hk_tick_collector.cli import VERBS

ROOT = Path(__file__).parent.parent
GITHUB = ROOT / ".github"
TARGETS = set(re.findall(r"(?m)^([a-z][a-z-]*):", (ROOT / "Makefile").read_text("utf-8")))
FORMS = sorted(path for path in (GITHUB / "ISSUE_TEMPLATE").glob("*.yml") if path.name != "config.yml")
WORKFLOWS = sorted((GITHUB / "workflows").glob("*.yml"))
PAGES = [ROOT / "CONTRIBUTING.md", *GITHUB.rglob("*.md"), *GITHUB.rglob("*.yml"), ROOT / ".pre-commit-config.yaml"]


def load(path: Path) -> dict[str, Any]:
    """A YAML file that is one mapping."""
    read = yaml.safe_load(path.read_text("utf-8"))
    assert isinstance(read, dict)
    return read


def steps(workflow: Path) -> list[dict[str, Any]]:
    return [step for job in load(workflow)["jobs"].values() for step in job["steps"]]


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.name)
def test_every_target_that_is_named_exists(page: Path) -> None:
    """`make NAME` in a command or a page is a target of the Makefile."""
    commands = re.findall(r"(?:^|`|run: |entry: |sudo )make ([a-z][a-z-]*)", page.read_text("utf-8"), re.MULTILINE)
    assert set(commands) - TARGETS == set()


@pytest.mark.parametrize("workflow", WORKFLOWS, ids=lambda path: path.name)
def test_a_workflow_runs_what_a_contributor_runs(workflow: Path) -> None:
    """Each job checks out and runs targets of the Makefile, with read access only and with a time limit."""
    read = load(workflow)
    assert read["permissions"] == {"contents": "read"}
    for name, job in read["jobs"].items():
        ran = [step["run"] for step in job["steps"] if "run" in step]
        assert any(command.startswith("make ") for command in ran), name
        assert job["timeout-minutes"] > 0
        assert all(("run" in step) != ("uses" in step) for step in job["steps"])
        needed = job.get("needs", [])
        assert set([needed] if isinstance(needed, str) else needed) <= set(read["jobs"])


def test_every_supported_python_is_tested_on_debian_12() -> None:
    """The versions of the workflow are those of pyproject.toml's classifiers; each image is Debian 12 (bookworm)."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    promised = [each.rpartition(" :: ")[2] for each in project["classifiers"] if re.search(r":: 3\.\d+$", each)]
    runs = load(GITHUB / "workflows/check.yml")["jobs"]["check"]["strategy"]["matrix"]["include"]
    assert [run["python"] for run in runs] == promised
    for run in runs:
        assert run["image"] == "debian:12" or run["image"] == f"python:{run['python']}-bookworm"


def test_the_workflow_runs_what_the_gate_runs() -> None:
    """`.ci/run` and the forge run the same; only .ci/run has test-systemd, which needs to boot another machine."""
    gate = set(re.findall(r"(?m)^\s*make ([a-z-]+)", (ROOT / ".ci/run").read_text("utf-8"))) - {"test-systemd"}
    forge = {step["run"].split()[1] for step in steps(GITHUB / "workflows/check.yml") if "make " in step.get("run", "")}
    assert gate <= forge


@pytest.mark.parametrize("form", FORMS, ids=lambda path: path.name)
def test_issue_forms_are_valid(form: Path) -> None:
    """It has what the forge requires of a form: a name, a description, and fields whose names differ."""
    read = load(form)
    assert read["name"]
    assert read["description"]
    fields = [field for field in read["body"] if field["type"] != "markdown"]
    assert len({field["id"] for field in fields}) == len(fields) > 0
    for field in fields:
        assert field["type"] in {"textarea", "input", "dropdown", "checkboxes"}
        assert field["attributes"]["label"]


def test_the_bug_form_asks_for_what_the_program_prints() -> None:
    """The version, `doctor` and `status --json`, all three required; every verb that it names exists."""
    body = {field["id"]: field for field in load(GITHUB / "ISSUE_TEMPLATE/bug.yml")["body"] if "id" in field}
    for name, command in (("version", "--version"), ("doctor", "doctor"), ("status", "status --json")):
        assert f"hk-tick-collector {command}`" in body[name]["attributes"]["description"]
        assert body[name]["validations"]["required"] is True
    text = "".join(form.read_text("utf-8") for form in FORMS)
    assert set(re.findall(r"hk-tick-collector ([a-z]+)", text)) - set(VERBS) == set()


def test_hooks_need_no_network() -> None:
    """Each is a local command of .venv or a target; a commit downloads nothing."""
    for repository in load(ROOT / ".pre-commit-config.yaml")["repos"]:
        assert repository["repo"] == "local"
        for hook in repository["hooks"]:
            command, *arguments = shlex.split(hook["entry"])
            assert hook["language"] == "system"
            assert (command == "make" and arguments[0] in TARGETS) or command == ".venv/bin/ruff"
