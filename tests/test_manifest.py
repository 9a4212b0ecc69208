from __future__ import annotations

import os
from pathlib import Path

import pytest

from audit.dataset.foregrounds import open_foreground
from audit.dataset.readers import read_dataset
from audit.errors import AuditError, DatasetError, ManifestError, ModelError
from audit.manifest import CmvSection, fingerprint, load_manifest
from audit.models import read_class_names
from audit.report.style import check_style

LEAST = "name: x\ndataset: {root: images}\nmodel: {loader: torchvision, name: resnet18}\n"


def write(folder: Path, text: str = LEAST) -> Path:
    path = folder / "data_manifest.yaml"
    path.write_text(text)
    return path


def test_three_keys_are_enough_and_the_rest_has_the_documented_defaults(tmp_path: Path) -> None:
    manifest = load_manifest(write(tmp_path))
    assert manifest.version == 1
    assert manifest.dataset.reader == "image_folder"
    assert manifest.saliency.method == "gradcam"
    assert manifest.interventions.donors == 4
    assert manifest.verdict.model_dump() == {
        "minimum_images": 20,
        "effect": 0.1,
        "strong_effect": 0.15,
        "fdr": 0.05,
        "test": "t",
    }
    assert manifest.run.batch_size == "auto"
    assert manifest.run.shard_size == 1024
    assert manifest.run.min_coverage == 0.95
    assert manifest.gate == "never"
    assert manifest.path("a/b") == tmp_path / "a" / "b"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("verdict: {fdr: 3}", "verdict.fdr: expected less than 1, found 3"),
        ("verdict: {fdr: .nan}", "verdict.fdr: expected"),
        ("verdict: {efect: 1}", "verdict.efect: unknown key. .*Did you mean 'effect'"),
        ("gait: never", "gait: unknown key. .*Did you mean 'gate'"),
        ("saliency: {target: loss}", "saliency.target: expected 'logit', 'predicted' or 'contr"),
        ("run: {runner: pbs}", "run.runner: expected threads, processes, dask.* found 'pbs'"),
        ("run: {runner: 'threads:4'}", "run.runner: expected address with kind dask or ray only"),
        ("run: {runner: {kind: slurm}}", "run.runner.kind: expected 'threads', 'processes'"),
        ("run: {runner: {kind: dask, wrokers: 2}}", "unknown key. .*Did you mean 'workers'"),
        ("run: {runner: {workers: 2}}", "run.runner: expected workers with kind processes"),
        ("run: {runner: {kind: ray, address: auto, workers: 2}}", "workers or an address"),
        ("run: {runner: {kind: processes, gpus_per_task: 1}}", "expected gpus_per_task with kind"),
        ("run: {runner: {kind: ray, gpus_per_task: 2}}", "run.runner.gpus_per_task: expected less"),
        ("run: {batch_size: 0}", "run.batch_size: expected auto or a whole number >= 1, found 0"),
        ("folder: /etc", "folder: unknown key"),
        ("version: 2", "version: expected 1, found 2"),
        ("version: true", "version: expected a number or text, found True"),
        ("run: {seed: true}", "run.seed: expected a number or text, found True"),
        ("run: {seed: 1, seed: 2}", "the key 'seed' twice"),
        ("run: {compile: maybe}", "run.compile: expected true or false, found 'maybe'"),
        ("cmv: {early: 1}", "cmv.early: expected true or false, found 1"),
        ("verdict: {effect: true}", "verdict.effect: expected a number or text, found True"),
        ("run: {seed: " + "7" * 5000 + "}", "is no number, date or time"),
        ("run: {seed: " + "7" * 4000 + "}", "run.seed: expected less than .* found 7777.*…$"),
        (
            "a: &a [x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a]\nc: &c [*b,*b,*b,*b,*b]\n"
            "d: &d [*c,*c,*c,*c,*c,*c,*c]\ne: &e [*d,*d,*d,*d,*d,*d,*d]\nf: [*e,*e,*e,*e,*e]",
            "aliases written out",
        ),
    ],
)
def test_a_message_names_key_expected_and_found(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(ManifestError, match=said):
        load_manifest(write(tmp_path, LEAST + text + "\n"))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "expected a mapping"),
        ("- a\n- b\n", "expected a mapping of keys .*, found list"),
        ("name: [", "not valid YAML"),
        ("dataset: {root: ${X}/images}", r"Between braces, write .* in quotes"),
        ("name: " + "[" * 20_000, "nested more than 40 levels"),
        ("x" * (2**20 + 1), "expected at most 1,048,576"),
        ("name: x\n", "dataset: missing"),
        ("name: !!python/object/apply:os.system [id]\n", "not valid YAML"),
    ],
)
def test_what_is_no_manifest_is_said_so(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(ManifestError, match=said):
        load_manifest(write(tmp_path, text))


def test_former_names_of_keys_are_taken_and_said(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    former = "foreground: {source: none, doubt: 0.1}\ninterventions: {also: [noise]}\n"
    today = former.replace("doubt", "boundary_tolerance").replace("also", "extra")
    manifest = load_manifest(write(tmp_path, LEAST + former))
    assert manifest.foreground.boundary_tolerance == 0.1
    assert manifest.interventions.extra == ("noise",)
    assert "foreground.doubt is now called foreground.boundary_tolerance" in caplog.text
    assert "interventions.also is now called interventions.extra" in caplog.text
    caplog.clear()
    # The copy in a run folder has today's names.
    again = load_manifest(write(tmp_path, manifest.source))
    assert again == manifest
    assert not caplog.text
    assert again.scores_key() == load_manifest(write(tmp_path, LEAST + today)).scores_key()
    set_so = load_manifest(write(tmp_path), ["interventions.also=[]"])
    assert set_so.interventions.extra == ()


def test_a_key_under_both_of_its_names_is_an_error(tmp_path: Path) -> None:
    both = "foreground: {doubt: 0.1, boundary_tolerance: 0.2}\n"
    with pytest.raises(ManifestError, match=r"foreground\.doubt is the former name of .*Remove"):
        load_manifest(write(tmp_path, LEAST + both))


def test_the_environment_stands_in_values_and_never_in_the_copy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(tmp_path, LEAST + "report: {owner: '${AUDIT_OWNER} team'}\n")
    with pytest.raises(ManifestError, match="report: owner: .* AUDIT_OWNER is not set"):
        load_manifest(path)
    monkeypatch.setenv("AUDIT_OWNER", "secret")
    manifest = load_manifest(path)
    assert manifest.report.owner == "secret team"
    assert "secret" not in manifest.source
    assert "${AUDIT_OWNER}" in manifest.source


def test_no_message_repeats_what_the_environment_holds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AUDIT_SECRET", "hunter22-of-this-test")
    monkeypatch.setenv("AUDIT_PIN", "1234")
    for text, said in (
        ("run: {seed: '${AUDIT_SECRET}'}", r"run.seed: .*, found '\${AUDIT_SECRET}'"),
        ("run: {seed: 'a${AUDIT_PIN}'}", r"run.seed: .*, found 'a\${AUDIT_PIN}'"),
        ("gate: '${AUDIT_SECRET}'", r"found '\${AUDIT_SECRET}'"),
    ):
        with pytest.raises(ManifestError, match=said) as raised:
            load_manifest(write(tmp_path, LEAST + text + "\n"))
        assert "hunter22" not in str(raised.value)
        assert "1234" not in str(raised.value)
    manifest = load_manifest(write(tmp_path, LEAST.replace("images", "'/${AUDIT_SECRET}/a'")))
    with pytest.raises(AuditError) as missing:
        read_dataset("image_folder", manifest.path(manifest.dataset.root), {})
    assert "no such folder: /${AUDIT_SECRET}/a. Write" in str(missing.value)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a\0b", "null byte"),
        ("a" * 300, "File name too long"),
        ("a/" * 3000, "File name too long"),
        ("~nosuchuser/images", "home"),
        ("circle", "[Ll]oop|levels of symbolic links"),
    ],
)
def test_a_path_that_cannot_be_is_a_sentence(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "circle").symlink_to(tmp_path / "circle")
    with pytest.raises(ManifestError, match=f"dataset.root: no path that can be: .*({said})"):
        load_manifest(write(tmp_path)).path(text, "dataset.root")
    with pytest.raises(ManifestError, match=r"foreground.root: no"):
        open_foreground("mask_file", {"root": text}, tmp_path)
    with pytest.raises(ManifestError, match="manifest: no path that can be|no such file"):
        load_manifest(tmp_path / text)


def test_a_pipe_or_a_device_is_never_opened(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", Path("/dev/zero")):
        with pytest.raises(ManifestError, match="expected a regular file, found a pipe or a dev"):
            load_manifest(path)
        with pytest.raises(ModelError, match="expected a regular file, found a pipe or a device"):
            read_class_names(path)
        text = LEAST + f"report: {{logo: '{path}'}}\n"
        with pytest.raises(ManifestError, match="expected a picture, found no regular file"):
            check_style(load_manifest(write(tmp_path, text)))
        table = tmp_path / "images" / "index.csv"
        table.parent.mkdir(exist_ok=True)
        table.symlink_to(path)
        with pytest.raises(DatasetError, match="no index.csv"):
            read_dataset("csv_index", table.parent, {})
        table.unlink()


def test_a_runner_is_a_word_or_a_mapping(tmp_path: Path) -> None:
    def runner(*overrides: str) -> dict[str, object]:
        return load_manifest(write(tmp_path), overrides).run.runner.model_dump(exclude_none=True)

    assert runner() == runner("run.runner=threads") == {"kind": "threads"}
    there = {"kind": "dask", "address": "tcp://host:8786"}
    assert runner("run.runner=dask:tcp://host:8786") == there
    assert runner('run.runner={"kind": "dask", "address": "tcp://host:8786"}') == there
    assert runner(
        "run.runner.kind=ray", "run.runner.workers=4", "run.runner.gpus_per_task=0.5"
    ) == {
        "kind": "ray",
        "workers": 4,
        "gpus_per_task": 0.5,
    }


def test_overrides_are_laid_over_the_file(tmp_path: Path) -> None:
    path = write(tmp_path)
    manifest = load_manifest(path, ["run.seed=7", "cmv.classes=[a, b]", "gate=suspect"])
    assert manifest.run.seed == 7
    assert manifest.cmv.classes == ("a", "b")
    assert manifest.gate == "suspect"
    for override in ("run.seed", "=3", "name.deeper=3"):
        with pytest.raises(ManifestError, match="--set"):
            load_manifest(path, [override])


def test_thresholds_stay_out_of_what_a_score_depends_on(tmp_path: Path) -> None:
    path = write(tmp_path)

    def key(*overrides: str) -> str:
        return fingerprint(load_manifest(path, overrides).scores_key())

    same = key()
    for override in ("verdict.effect=0.3", "gate=suspect", "run.shard_size=7", "cmv.steps=3"):
        assert key(override) == same, override
    for override in ("run.seed=1", "saliency.method=gradient", "interventions.donors=2"):
        assert key(override) != same, override


def test_options_stand_beside_the_name_of_a_reader(tmp_path: Path) -> None:
    path = write(tmp_path, LEAST.replace("root: images", "root: images, follow_links: true"))
    assert load_manifest(path).dataset.options == {"follow_links": True}


def test_a_manifest_may_lie_elsewhere_than_what_it_names(tmp_path: Path) -> None:
    (tmp_path / "a" / "b").mkdir(parents=True)
    path = tmp_path / "a" / "b" / "m.yaml"
    path.write_text(
        "name: x\nrelative_to: ../..\ndataset: {root: images}\nmodel: {loader: 'a:b'}\n"
    )
    assert load_manifest(path).path("images") == (tmp_path / "images").resolve()


def test_what_is_written_of_cmvs_is_made_of_all_classes() -> None:
    assert CmvSection().brief
    assert CmvSection.model_validate({"classes": "all"}).brief
    for written in ({"steps": 64}, {"objectives": ["softmax"]}, {"recipes": ["maco"]}):
        assert not CmvSection.model_validate(written).brief
        assert CmvSection.model_validate(written | {"brief": True}).brief
