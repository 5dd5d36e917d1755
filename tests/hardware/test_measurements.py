from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edgesim.core.errors import ConfigError, Problem
from edgesim.hardware.catalogue import Catalogue, processor_specs, shipped
from edgesim.hardware.measurements import (
    Cores,
    Measurement,
    UnknownMeasurementError,
    read_measurements,
    resolve,
    setting,
)
from edgesim.nn.cost import inference_s
from edgesim.nn.zoo import ZOO, measured_model

NCNN = "soc,threads,powersave(0=all 1=little 2=big),gpu_device(-1=cpu),network,min_ms,avg_ms"
TFLITE = "soc,phone,processor,threads,precision,network,latency_ms,source"
MORE = f"{TFLITE},runtime,batch"
NCNN_ROW = "sdm845,4,2,-1,mobilenet,20,21.5"
TFLITE_ROW = "sdm845,pixel_3,cpu,4,fp32,mobilenet_v1,23.9,a page"

Write = Callable[..., Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def _write(*lines: str, name: str = "rows.csv") -> Path:
        file = tmp_path / name
        file.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
        return file

    return _write


def problems(*files: Path) -> list[str]:
    """The problems found, without the folder that the files stand in."""
    with pytest.raises(ConfigError) as caught:
        read_measurements(files)
    assert caught.value.problems
    return [str(problem).removeprefix(f"{files[0].parent}/") for problem in caught.value.problems]


def read_or_refused(file: Path) -> tuple[list[Measurement], list[Problem]]:
    try:
        return read_measurements([file]), []
    except ConfigError as error:
        return [], error.problems


# --- what is read --------------------------------------------------------------------------------


def test_a_row_of_ncnns_file_is_read_with_its_mean(write: Write) -> None:
    file = write(NCNN, NCNN_ROW, "", "  , ,,,,,", " v100 , 1,0,0 ,resnet50, 3.1,3.2")
    assert read_measurements([file]) == [
        Measurement(
            *(str(file), 2, "sdm845", "ncnn", "cpu", 4, "big", "fp32", "mobilenet"),
            seconds=pytest.approx(0.0215),
        ),
        Measurement(
            *(str(file), 5, "v100", "ncnn", "gpu", 1, "all", "fp32", "resnet50"),
            seconds=pytest.approx(0.0032),
        ),
    ]


def test_a_row_of_tensorflow_lites_file_is_read(write: Write) -> None:
    file = write(TFLITE, TFLITE_ROW, 'sm8150,p4,GPU,,fp16,"resnet_50",7,"two, words"')
    assert read_measurements([file]) == [
        Measurement(
            *(str(file), 2, "sdm845", "tflite", "cpu", 4, "all", "fp32", "mobilenet_v1"),
            seconds=pytest.approx(0.0239),
            phone="pixel_3",
        ),
        Measurement(
            *(str(file), 3, "sm8150", "tflite", "gpu", 1, "all", "fp16", "resnet_50"),
            seconds=pytest.approx(0.007),
            phone="p4",
        ),
    ]


def test_runtime_and_batch_may_be_given_and_left_empty(write: Write) -> None:
    rows = read_measurements([write(MORE, f"{TFLITE_ROW},mnn,16", f"{TFLITE_ROW},,")])
    assert [(row.runtime, row.batch) for row in rows] == [("mnn", 16), ("tflite", 1)]
    assert rows[0].label == "sdm845 cpu x 4 all mnn fp32 mobilenet_v1 x 16"
    assert rows[1].label == "sdm845 cpu x 4 all tflite fp32 mobilenet_v1"
    first = write("runtime," + TFLITE, f"mnn,{TFLITE_ROW}", name="first.csv")
    assert read_measurements([first])[0].runtime == "mnn"


@pytest.mark.parametrize(("powersave", "cores"), [(0, "all"), (1, "little"), (2, "big")])
def test_powersave_says_which_cores(powersave: int, cores: str, write: Write) -> None:
    (row,) = read_measurements([write(NCNN, f"sdm845,4,{powersave},-1,mobilenet,20,21")])
    assert (row.cores, row.threads) == (cores, 4)


@pytest.mark.parametrize(
    ("gpu", "network", "ran"),
    [
        (-1, "mobilenet", ("cpu", "ncnn", "fp32", "big", 4)),
        (-1, "mobilenet_int8", ("cpu", "ncnn", "int8", "big", 4)),
        (0, "mobilenet", ("gpu", "ncnn", "fp32", "all", 1)),
        (1, "mobilenet", ("gpu", "ncnn", "fp32", "all", 1)),
        (0, "mobilenet_int8", ("cpu", "ncnn_vulkan", "int8", "big", 4)),
    ],
)
def test_ncnns_int8_models_run_on_the_cpu_whatever_was_asked_for(
    gpu: int, network: str, ran: tuple[object, ...], write: Write
) -> None:
    (row,) = read_measurements([write(NCNN, f"sdm845,4,2,{gpu},{network},20,21")])
    assert (row.processor, row.runtime, row.precision, row.cores, row.threads) == ran
    assert row.network == "mobilenet"


def test_threads_mean_nothing_but_on_a_cpu(write: Write) -> None:
    row = "sdm845,p,{},{},int8,mobilenet_v1,7,s"
    kinds = ("gpu", "dsp", "nnapi")
    (*rows,) = read_measurements([write(TFLITE, *(row.format(kind, 4) for kind in kinds))])
    assert [row.threads for row in rows] == [1, 1, 1]
    assert "threads: must be a whole number" in problems(write(TFLITE, row.format("cpu", "")))[0]


def test_several_files_of_both_kinds_are_one_list(write: Write) -> None:
    files = [write(NCNN, NCNN_ROW, name="a.csv"), write(TFLITE, TFLITE_ROW, name="b.csv")]
    assert [(Path(row.file).name, row.line) for row in read_measurements(files)] == [
        ("a.csv", 2),
        ("b.csv", 2),
    ]
    assert read_measurements([]) == []
    assert read_measurements([write(TFLITE)]) == []


def test_a_file_may_come_from_a_spreadsheet(tmp_path: Path) -> None:
    file = tmp_path / "rows.csv"
    file.write_bytes(b"\xef\xbb\xbf" + f"{NCNN}\r\n{NCNN_ROW}\r\n".encode())
    assert len(read_measurements([file])) == 1


# --- what is refused -----------------------------------------------------------------------------

TIME = "must be milliseconds"


@pytest.mark.parametrize(
    ("header", "row", "found"),
    [
        pytest.param(
            *(TFLITE, "sdm845,p,cpu,4,fp32,mobilenet_v1,{},s"),
            ("latency_ms", "-3", f"{TIME} from 0.01 to 600000; found -3"),
            id="negative",
        ),
        pytest.param(
            *(TFLITE, "sdm845,p,cpu,4,fp32,mobilenet_v1,{},s"),
            ("latency_ms", "0", f"{TIME} from 0.01 to 600000; found 0"),
            id="zero",
        ),
        pytest.param(
            *(TFLITE, "sdm845,p,cpu,4,fp32,mobilenet_v1,{},s"),
            ("latency_ms", "0.0009", "found 0.0009: another unit?"),
            id="seconds",
        ),
        pytest.param(
            *(TFLITE, "sdm845,p,cpu,4,fp32,mobilenet_v1,{},s"),
            ("latency_ms", "23900000", "found 23900000: another unit?"),
            id="nanoseconds",
        ),
        pytest.param(
            *(TFLITE, "sdm845,p,cpu,4,fp32,mobilenet_v1,{},s"),
            ("latency_ms", "nan", "found nan"),
            id="not a number",
        ),
        pytest.param(
            *(TFLITE, "sdm845,p,cpu,4,fp32,mobilenet_v1,{},s"),
            ("latency_ms", "inf", "found inf"),
            id="infinite",
        ),
        pytest.param(
            *(TFLITE, "sdm845,p,cpu,4,fp32,mobilenet_v1,{},s"),
            ("latency_ms", "23.9 ms", f"{TIME} as a plain number; found '23.9 ms'"),
            id="text",
        ),
        pytest.param(
            *(TFLITE, "sdm845,p,cpu,4,fp32,mobilenet_v1,{},s"),
            ("latency_ms", "", f"{TIME} as a plain number; found ''"),
            id="no time",
        ),
        pytest.param(
            *(TFLITE, "sdm845,p,{},4,fp32,mobilenet_v1,20,s"),
            ("processor", "gpus", "unknown processor 'gpus'; did you mean 'gpu'?"),
            id="processor",
        ),
        pytest.param(
            *(TFLITE, "sdm845,p,cpu,4,{},mobilenet_v1,20,s"),
            ("precision", "fp8", "unknown precision 'fp8'; did you mean 'fp"),
            id="precision",
        ),
        pytest.param(
            *(TFLITE, "sdm845,p,cpu,{},fp32,mobilenet_v1,20,s"),
            ("threads", "four", "must be a whole number; found 'four'"),
            id="threads in words",
        ),
        pytest.param(
            *(TFLITE, "sdm845,p,cpu,{},fp32,mobilenet_v1,20,s"),
            ("threads", "0", "must be from 1 to 1024; found 0"),
            id="no threads",
        ),
        pytest.param(
            *(TFLITE, "sdm845,p,cpu,4,fp32,{},20,s"),
            ("network", "", "is empty"),
            id="no network",
        ),
        pytest.param(
            *(TFLITE, "{},p,cpu,4,fp32,mobilenet_v1,20,s"), ("soc", "", "is empty"), id="no chip"
        ),
        pytest.param(
            *(MORE, "sdm845,p,cpu,4,fp32,mobilenet_v1,20,s,mnn,{}"),
            ("batch", "0", "must be from 1 to 100000; found 0"),
            id="no batch",
        ),
        pytest.param(
            *(NCNN, "sdm845,4,{},-1,mobilenet,20,21"),
            ("powersave", "3", "must be from 0 to 2; found 3"),
            id="powersave",
        ),
        pytest.param(
            *(NCNN, "sdm845,4,2,{},mobilenet,20,21"),
            ("gpu_device", "-2", "must be from -1 to 64; found -2"),
            id="gpu_device",
        ),
        pytest.param(
            *(NCNN, "sdm845,1.5,2,-1,mobilenet,20,{}"),
            ("threads", "21", "must be a whole number; found '1.5'"),
            id="one and a half threads",
        ),
        pytest.param(
            *(NCNN, "sdm845,4,2,-1,mobilenet,{},21"),
            ("avg_ms", "22", "the mean, 21 ms, is below the minimum, 22 ms"),
            id="a mean below the minimum",
        ),
        pytest.param(
            *(NCNN, "sdm845,4,2,-1,mobilenet,{},21"),
            ("min_ms", "-20", f"{TIME} from"),
            id="a negative minimum",
        ),
    ],
)
def test_a_cell_out_of_order_is_refused_at_file_line_and_column(
    header: str, row: str, found: tuple[str, str, str], write: Write
) -> None:
    column, value, message = found
    good = NCNN_ROW if header == NCNN else TFLITE_ROW + "," * (header == MORE) * 2
    (problem,) = problems(write(header, good, row.format(value)))
    assert problem.startswith(f"rows.csv:3: {column}: ")
    assert message in problem


@pytest.mark.parametrize(
    ("header", "message"),
    [
        (TFLITE.replace("_ms", "_s"), "column 'latency_s': times must be in milliseconds"),
        (TFLITE.replace("_ms", "_us"), "column 'latency_us': times must be in milliseconds"),
        (NCNN.replace("_ms", "_ns"), "column 'min_ns': times must be in milliseconds"),
        (MORE.replace("_ms", "_sec"), "column 'latency_sec': times must be in milliseconds"),
        (TFLITE.replace("phone", "handset"), "unknown header; wanted soc,"),
        (TFLITE.replace("soc,phone", "phone,soc"), "unknown header; wanted soc,"),
        (TFLITE.removesuffix(",source"), "unknown header; wanted soc,"),
        (TFLITE_ROW, "unknown header; wanted soc,"),
        (NCNN.replace(",", ";"), "unknown header; wanted soc,"),
    ],
    ids=lambda text: text[-45:],
)
def test_a_header_that_is_none_is_refused_on_its_line(
    header: str, message: str, write: Write
) -> None:
    (problem,) = problems(write(header, NCNN_ROW))
    assert problem.startswith(f"rows.csv:1: {message}")


def test_an_empty_file_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "rows.csv"
    file.write_text("")
    (problem,) = problems(file)
    assert problem.startswith("rows.csv:1: unknown header")
    assert problem.endswith("found an empty file")


def test_a_file_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    assert problems(tmp_path / "rows.csv") == [
        "rows.csv: cannot be read: No such file or directory"
    ]
    (tmp_path / "folder").mkdir()
    assert problems(tmp_path / "folder")[0].startswith("folder: cannot be read: ")
    (tmp_path / "latin.csv").write_bytes(TFLITE.encode() + b"\ncaf\xe9")
    (problem,) = problems(tmp_path / "latin.csv")
    assert problem == f"latin.csv: is not UTF-8 text (byte {len(TFLITE) + 4})"


@pytest.mark.parametrize(
    ("row", "columns"), [(f"{TFLITE_ROW},more", 9), (TFLITE_ROW.removesuffix(",a page"), 7)]
)
def test_a_row_with_columns_too_many_or_too_few_is_refused(
    row: str, columns: int, write: Write
) -> None:
    file = write(TFLITE, TFLITE_ROW, row)
    assert problems(file) == [f"rows.csv:3: has {columns} columns where the header has 8"]


def test_the_same_measurement_twice_is_refused_and_told_where_the_first_is(write: Write) -> None:
    again = TFLITE_ROW.replace("23.9", "30").replace("page", "book")
    one, two = write(TFLITE, TFLITE_ROW, again), write(TFLITE, again, name="two.csv")
    label = "network: sdm845 cpu x 4 all tflite fp32 mobilenet_v1 is measured twice"
    assert problems(one) == [f"rows.csv:3: {label}, first on line 2; keep one of them"]
    one = write(TFLITE, TFLITE_ROW)
    (problem,) = problems(one, two)
    assert problem == f"two.csv:2: {label}, first on line {one}:2; keep one of them"
    assert len(problems(write(TFLITE, TFLITE_ROW, again, again))) == 2


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("sdm845", "sm8150"),
        ("pixel_3", "galaxy_s9"),  # one chip in two phones
        ("cpu", "gpu"),
        (",4,", ",3,"),
        ("fp32", "fp16"),
        ("mobilenet_v1", "mobilenet_v2"),
        (",mnn,", ",tnn,"),
        (",mnn,1", ",mnn,2"),
    ],
)
def test_a_measurement_that_differs_in_anything_is_another_one(
    old: str, new: str, write: Write
) -> None:
    row = f"{TFLITE_ROW},mnn,1"
    assert len(read_measurements([write(MORE, row, row.replace(old, new))])) == 2


def test_all_problems_of_all_files_are_reported_at_once(write: Write, tmp_path: Path) -> None:
    one = write(
        TFLITE,
        TFLITE_ROW.replace("cpu", "cup").replace("23.9", "fast").replace("fp32", "fp64"),
        TFLITE_ROW,
        "sdm845,p",
        TFLITE_ROW,
        name="a.csv",
    )
    two = write(NCNN, "sdm845,4,7,-9,mobilenet,0,0", name="b.csv")
    found = problems(one, two, tmp_path / "c.csv", write("time", name="d.csv"))
    places = [line.replace(f"{tmp_path}/", "").split(" ")[:2] for line in found]
    assert places == [
        ["a.csv:2:", "latency_ms:"],
        ["a.csv:2:", "precision:"],
        ["a.csv:2:", "processor:"],
        ["a.csv:4:", "has"],
        ["a.csv:5:", "network:"],
        ["b.csv:2:", "avg_ms:"],
        ["b.csv:2:", "gpu_device:"],
        ["b.csv:2:", "min_ms:"],
        ["b.csv:2:", "powersave:"],
        ["c.csv:", "cannot"],
        ["d.csv:1:", "unknown"],
    ]


ANYTHING = st.one_of(
    st.text(max_size=40),
    st.integers().map(str),
    st.floats().map(str),
    st.sampled_from(["cpu", "gpu", "nnapi", "fp32", "int8", "sdm845", "mobilenet", "4", '"', "\0"]),
)


@given(
    header=st.one_of(st.sampled_from([NCNN, TFLITE, MORE]), st.text(max_size=60)),
    rows=st.lists(st.one_of(st.text(max_size=60), st.lists(ANYTHING, max_size=11).map(",".join))),
    end=st.sampled_from(["\n", "\r\n", "\r"]),
)
@settings(
    derandomize=True,
    deadline=None,
    max_examples=200,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
def test_whatever_stands_in_a_file_is_read_or_refused(
    header: str, rows: list[str], end: str, tmp_path: Path
) -> None:
    file = tmp_path / "rows.csv"
    file.write_bytes(end.join([header, *rows]).encode("utf-8", "surrogatepass"))
    found, refused = read_or_refused(file)
    assert all(problem.file == str(file) and problem.message for problem in refused)
    for row in found:
        assert 1e-5 <= row.seconds <= 600
        assert row.threads >= 1
        with suppress(UnknownMeasurementError):
            setting(row, shipped())


@given(content=st.binary(max_size=200))
@settings(
    derandomize=True,
    deadline=None,
    max_examples=100,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
def test_whatever_bytes_a_file_has_it_is_read_or_refused(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_bytes(content)
    with pytest.raises(ConfigError):
        read_measurements([tmp_path / "rows.csv"])


# --- what a row means ----------------------------------------------------------------------------


def measured(
    soc: str,
    processor: str = "cpu",
    threads: int = 1,
    cores: Cores = "all",
    precision: str = "fp32",
    network: str = "mobilenet_v1",
    runtime: str = "ncnn",
    batch: int = 1,
) -> Measurement:
    return Measurement(
        *("rows.csv", 2, soc, runtime, processor, threads, cores, precision, network, 0.1, batch)
    )


@pytest.mark.parametrize(
    ("row", "name", "cores"),
    [
        pytest.param(
            measured("sm7250", threads=4, cores="big"),
            *("cpu_prime+cpu_big", 2),
            id="two big cores for four threads",
        ),
        pytest.param(measured("sm7250", threads=4), "cpu_prime+cpu_big+cpu_little", 4, id="all"),
        pytest.param(measured("sm7250", threads=2, cores="little"), "cpu_little", 2, id="little"),
        pytest.param(measured("sdm660", threads=4), "cpu_big", 4, id="a cluster of all"),
        pytest.param(
            measured("sdm660", threads=8),
            *("cpu_big+cpu_little", 8),
            id="two clusters of much the same speed",
        ),
        pytest.param(
            measured("sm8350", threads=8, cores="big"),
            *("cpu_prime+cpu_big", 4),
            id="one core much faster than three others",
        ),
        pytest.param(measured("sdm845", threads=1), "cpu_big", 1, id="the fastest core"),
        pytest.param(
            measured("msm8916", threads=4, cores="big"), "cpu_big", 4, id="one cluster only"
        ),
    ],
)
def test_threads_run_on_the_cores_that_they_may_use(
    row: Measurement, name: str, cores: int
) -> None:
    found = setting(row, shipped())
    assert (found.processor.name, found.processor.cores) == (name, cores)
    assert found.threads == row.threads


@pytest.mark.parametrize(
    ("row", "wanted"),
    [
        pytest.param(measured("sdm845"), ("cpu", "ncnn", "fp16"), id="ncnn halves"),
        pytest.param(measured("kirin970"), ("cpu", "ncnn", "fp32"), id="where the cores can"),
        pytest.param(measured("sm6150"), ("cpu", "ncnn", "fp32"), id="where it was built to"),
        pytest.param(measured("kirin970", "gpu"), ("gpu", "ncnn", "fp16"), id="as its GPU's can"),
        pytest.param(
            measured("sdm845", precision="int8", runtime="ncnn_vulkan"),
            ("cpu", "ncnn_vulkan", "int8"),
            id="int8 stays int8",
        ),
        pytest.param(
            measured("sdm845", runtime="tflite"), ("cpu", "tflite", "fp32"), id="TFLite does not"
        ),
        pytest.param(
            measured("sdm845", "gpu", runtime="tflite"),
            ("gpu", "tflite", "fp16"),
            id="but its GPU delegate does",
        ),
        pytest.param(
            measured("sdm845", "nnapi", runtime="tflite"),
            ("gpu", "nnapi", "fp16"),
            id="NNAPI takes floats to the GPU",
        ),
        pytest.param(
            measured("sdm845", "nnapi", precision="int8", runtime="tflite"),
            ("dsp", "nnapi", "int8"),
            id="NNAPI takes int8 to the DSP",
        ),
        pytest.param(
            measured("sdm845", "dsp", precision="int8", runtime="tflite"),
            ("dsp", "nnapi", "int8"),
            id="the DSP is reached through NNAPI",
        ),
        pytest.param(
            measured("xeon_e5_2640_p100", "gpu", runtime="mxnet"),
            ("gpu", "mxnet", "fp32"),
            id="MXNet keeps single precision",
        ),
        pytest.param(
            measured("v100", "gpu"), ("gpu", "ncnn", "fp16"), id="ncnn halves on a server, too"
        ),
    ],
)
def test_where_and_in_what_precision_a_measurement_was_computed(
    row: Measurement, wanted: tuple[str, str, str]
) -> None:
    assert resolve(row, shipped().chip(row.soc)) == wanted
    found = setting(row, shipped())
    assert (found.processor.kind, found.runtime, found.precision) == wanted
    assert found.processor.efficiency[found.precision].runtime == wanted[1]


def test_a_prediction_is_the_simulators_own() -> None:
    gpu = processor_specs(shipped().chip("sdm845"), "tflite")["gpu"]
    found = setting(measured("sdm845", "gpu", network="resnet50", runtime="tflite"), shipped())
    assert found.model is ZOO["resnet_50"]
    assert found.predicted_s() == pytest.approx(inference_s(ZOO["resnet_50"], gpu, "fp16"))
    assert sum(found.term_seconds()) == found.predicted_s()
    big = processor_specs(shipped().chip("sdm845"), "ncnn")["cpu_big"]
    found = setting(measured("sdm845", threads=4, network="mobilenet_v3"), shipped())
    assert found.predicted_s() == pytest.approx(
        inference_s(measured_model("mobilenet_v3"), big, "fp16")
    )


def test_a_batch_is_predicted_as_one() -> None:
    row = measured("xeon_e5_2640_p100", "gpu", runtime="mxnet", network="resnet_50", batch=8)
    gpu = processor_specs(shipped().chip(row.soc), "mxnet")["gpu"]
    found = setting(row, shipped())
    assert found.batch == 8
    by_simulator = inference_s(ZOO["resnet_50"], gpu, "fp32", batch=8)
    assert found.predicted_s() == pytest.approx(by_simulator)
    assert found.predicted_s() > 1.5 * setting(replace(row, batch=1), shipped()).predicted_s()


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        pytest.param(
            measured("sdm845", network="mobilenetv2"),
            "no model is called 'mobilenetv2': did you mean 'mobilenet_v2'?",
            id="model",
        ),
        pytest.param(
            measured("sdm846"), "there is no such chip; did you mean 'sdm845'?", id="chip"
        ),
        pytest.param(measured("mi_8_pro"), "there is no such chip; ", id="a phone is no chip"),
        pytest.param(
            measured("kirin970", "dsp", precision="int8", runtime="tflite"),
            "kirin_970 has no dsp",
            id="processor",
        ),
        pytest.param(
            measured("sdm845", "gpu", network="mobilebert"),
            "mobilebert does not run on a gpu",
            id="a model that does not run there",
        ),
        pytest.param(
            measured("sdm845", "gpu", precision="int8"),
            "nothing is known of snapdragon_845's gpu in int8 under ncnn",
            id="precision",
        ),
        pytest.param(
            measured("sdm845", runtime="mnn"),
            "nothing is known of snapdragon_845's cpu in fp32 under mnn",
            id="runtime",
        ),
    ],
)
def test_a_row_that_nothing_is_known_about_is_not_guessed(row: Measurement, reason: str) -> None:
    with pytest.raises(UnknownMeasurementError) as caught:
        setting(row, shipped())
    assert str(caught.value).startswith(reason)


def test_a_chip_goes_by_its_name_and_by_its_aliases(tmp_path: Path) -> None:
    for name in ("sdm845", "snapdragon_845"):
        assert setting(measured(name), shipped()).chip.name == "snapdragon_845"
    text = Path(dict(shipped().files())["snapdragon_845"]).read_text(encoding="utf-8")
    text = text.replace("aliases: [sdm845]", "aliases: [my_chip]").replace(
        "name: snapdragon_845", "name: mine", 1
    )
    (tmp_path / "mine.yaml").write_text(text, encoding="utf-8")
    assert setting(measured("my_chip"), Catalogue([tmp_path])).chip.name == "mine"
