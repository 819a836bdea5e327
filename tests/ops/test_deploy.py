"""The Dockerfile, the systemd unit and the Kubernetes examples: as far as they can be held against the code here."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import click
import pytest
from ruamel.yaml import YAML

from connector.cli.group import connector
from connector.project.serve_settings import ServeSettings
from tests.ops.dockerfile import stages as read_stages

ROOT = Path(__file__).parents[2]
KUBERNETES = ROOT / "deploy" / "kubernetes"
PORT = ServeSettings().port


@pytest.fixture(scope="module")
def stages() -> Any:
    return read_stages((ROOT / "Dockerfile").read_text())


def rests(stage: Any, word: str) -> list[str]:
    return [step.rest for step in stage if step.word == word]


def parsed(words: list[str]) -> str:
    """The command of these words, which the command line must know with all of its options."""
    context = click.Context(connector)
    name, command, rest = connector.resolve_command(context, words)
    assert command is not None
    command.make_context(name, list(rest), parent=context, resilient_parsing=True)
    return str(name)


# --- Docker ----------------------------------------------------------------------------------------------------------


def test_the_image_has_two_stages_and_its_process_is_nobody_in_particular(stages: Any) -> None:
    build, image = stages

    assert build[0].rest == "python:${PYTHON} AS build"
    assert image[0].rest == "python:${PYTHON}"
    assert rests(image, "USER") == ["10001:10001"]
    assert [step.word for step in image].index("USER") > [step.word for step in image].index("COPY")
    assert rests(image, "COPY") == ["--from=build /opt/connector /opt/connector"]
    assert rests(image, "EXPOSE") == [str(PORT)]


def test_the_image_starts_the_server(stages: Any) -> None:
    image = stages[1]
    entry, command = json.loads(rests(image, "ENTRYPOINT")[0]), json.loads(rests(image, "CMD")[0])

    assert entry == ["connector"]
    assert parsed(command) == "serve"
    assert f":{PORT}/healthz" in rests(image, "HEALTHCHECK")[0]


def test_all_packages_are_pinned_and_their_hashes_checked(stages: Any) -> None:
    (install, wheel) = rests(stages[0], "RUN")

    assert "--require-hashes --requirement requirements/image.lock" in install
    assert "--no-deps --no-build-isolation" in wheel
    assert "apt-get" not in (ROOT / "Dockerfile").read_text()


ENGINES = {"airflow", "dagster", "prefect"}


def pins(name: str) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for package, version in re.findall(
        r"^([a-z0-9.-]+)==(\S+)", (ROOT / "requirements" / name).read_text(), re.MULTILINE
    ):
        found.setdefault(package.replace(".", "-"), set()).add(version)
    return found


def test_the_image_has_what_is_tested_and_every_extra() -> None:
    image, tested = pins("image.lock"), pins("dev.lock")
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    # The orchestrators have images of their own, in which this is installed.
    extras = {name: needs for name, needs in project["optional-dependencies"].items() if name not in ENGINES}
    needs = [*project["dependencies"], *(need for extra in extras.values() for need in extra)]
    wanted = {re.split(r"[\[<>=~!; ]", need)[0].lower().replace(".", "-") for need in needs}

    assert {name for name in image if image[name] != tested.get(name)} == set()
    assert wanted - set(image) == set()
    assert not {"pytest", "mypy", "fakesnow", "ruff"} & set(image)


def test_everything_that_a_wheel_needs_is_copied(stages: Any) -> None:
    copied = {name for rest in rests(stages[0], "COPY") for name in rest.split()[:-1]}
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    forced = set(project["tool"]["hatch"]["build"]["targets"]["wheel"]["force-include"])
    listed = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}

    assert copied == listed
    assert {"connector", "pyproject.toml", project["project"]["readme"], *forced} <= copied
    assert [name for name in copied if not (ROOT / name).exists()] == []


# --- systemd ---------------------------------------------------------------------------------------------------------


def unit() -> str:
    return (ROOT / "deploy" / "systemd" / "connector.service").read_text()


def test_the_unit_starts_the_server_with_the_state_where_it_may_write() -> None:
    started = re.search(r"^ExecStart=(.*)$", unit(), re.MULTILINE)
    assert started is not None
    program, *words = started[1].split()

    assert program == "/opt/connector/bin/connector"
    assert parsed([word for word in words if word not in ("--project", "/etc/connector/project")]) == "serve"
    assert "CONNECTOR_STATE_DIR=/var/lib/connector/state" in unit()
    assert "StateDirectory=connector" in unit()
    # SIGTERM to the runs, too, would cancel what may finish.
    assert "KillMode=mixed" in unit()


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd is not installed")
def test_systemd_finds_nothing_wrong_with_the_unit(tmp_path: Path) -> None:
    file = tmp_path / "connector.service"
    file.write_text(unit().replace("/opt/connector/bin/connector", sys.executable))
    done = subprocess.run(["systemd-analyze", "verify", "--man=no", file], capture_output=True, text=True, check=False)
    about = [line for line in (done.stdout + done.stderr).splitlines() if "connector" in line]

    assert about == []


# --- Kubernetes ------------------------------------------------------------------------------------------------------


def documents(name: str) -> dict[str, Any]:
    with (KUBERNETES / name).open() as file:
        return {document["kind"]: document for document in YAML(typ="safe").load_all(file)}


def pods() -> dict[str, Any]:
    return {
        "Deployment": documents("deployment.yaml")["Deployment"]["spec"]["template"]["spec"],
        "CronJob": documents("cronjob.yaml")["CronJob"]["spec"]["jobTemplate"]["spec"]["template"]["spec"],
    }


@pytest.mark.parametrize(("kind", "command"), [("Deployment", "serve"), ("CronJob", "run")])
def test_a_pod_starts_what_the_command_line_has_as_nobody_and_with_its_state_in_a_volume(
    kind: str, command: str
) -> None:
    pod = pods()[kind]
    (container,) = pod["containers"]
    mounted = {mount["name"]: mount["mountPath"] for mount in container["volumeMounts"]}
    state = next(volume for volume in pod["volumes"] if volume["name"] == "state")

    assert parsed(container["args"]) == command
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["runAsUser"] == 10001
    assert container["securityContext"]["readOnlyRootFilesystem"] is True
    assert container["securityContext"]["allowPrivilegeEscalation"] is False
    # Below the volume, because a restore renames the state directory.
    assert {"name": "CONNECTOR_STATE_DIR", "value": f"{mounted['state']}/connector"} in container["env"]
    assert state["persistentVolumeClaim"]["claimName"] == "connector-state"
    assert set(mounted) == {volume["name"] for volume in pod["volumes"]}
    assert {mounted["models"], mounted["syncs"]} == {"/project/models", "/project/sync_configs"}
    # No secret stands in the file.
    assert [each["secretRef"]["name"] for each in container["envFrom"]] == ["connector"]


def test_the_deployment_never_has_two_pods_on_one_state() -> None:
    found = documents("deployment.yaml")
    spec = found["Deployment"]["spec"]
    (container,) = pods()["Deployment"]["containers"]

    assert (spec["replicas"], spec["strategy"]["type"]) == (1, "Recreate")
    assert container["ports"] == [{"name": "http", "containerPort": PORT}]
    assert container["readinessProbe"]["httpGet"]["path"] == "/readyz"
    assert container["livenessProbe"]["httpGet"]["path"] == "/healthz"
    assert spec["template"]["spec"]["terminationGracePeriodSeconds"] > ServeSettings().grace_seconds
    assert (
        spec["selector"]["matchLabels"]
        == spec["template"]["metadata"]["labels"]
        == found["Service"]["spec"]["selector"]
    )
    assert found["PersistentVolumeClaim"]["metadata"]["name"] == "connector-state"


def test_the_cron_job_starts_no_second_run_beside_one() -> None:
    found = documents("cronjob.yaml")["CronJob"]

    assert found["apiVersion"] == "batch/v1"
    assert found["spec"]["concurrencyPolicy"] == "Forbid"
    assert found["spec"]["jobTemplate"]["spec"]["backoffLimit"] == 0
    assert pods()["CronJob"]["restartPolicy"] == "Never"
