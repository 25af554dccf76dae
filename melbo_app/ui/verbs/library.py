"""Verbs about models, banks and labels."""

from contextlib import ExitStack
from pathlib import Path
from typing import Literal

import gradio as gr

from melbo_app import listings
from melbo_app.defaults import save_label
from melbo_app.errors import InputError
from melbo_app.jobs.loaded_model import ModelState
from melbo_app.library.formats.known import by_key
from melbo_app.library.label_import import LabelsImported
from melbo_app.ui.files import uploaded, written
from melbo_app.ui.leaving import leaving
from melbo_app.workbench import Workbench

ReadFormat = Literal["safetensors", "melbo", "gguf", "svec", "dct"]
WrittenFormat = Literal["safetensors", "melbo", "gguf", "svec", "steering-vectors", "folder", "dct"]


class LibraryVerbs:
    """Models, banks and labels."""

    def __init__(self, workbench: Workbench) -> None:
        self._workbench = workbench

    def models(self) -> listings.KnownModels:
        """The models that can be loaded at once, which one is loaded, and the catalogue of those to download.

        Returns:
            models: name, spec (for load_model) and loaded of each
            catalogue: key, name, state (loaded, ready or absent), size (bytes), licence and good_for of each
        """
        return listings.known_models(self._workbench.models(), self._workbench.catalogue())

    def load_model(self, spec: str | None = None) -> ModelState:
        """Load a model that `models` lists, and wait until it is there. All users share the loaded model.

        Args:
            spec: its spec, from `models`; left out: the model in memory, or the server's own
        Returns:
            name, loaded, blocks, hidden_size, context (tokens), dtype, device, has_template, templates (names),
            template_options and weights_hash
        """
        known = [entry.spec for entry in self._workbench.models()]
        if spec is not None and spec not in known:  # paths would let a program explore the server
            raise InputError("model", f"“{spec[:80]}” is not ready to be loaded", "Choose a spec that models lists")
        return self._workbench.load_model(spec, stop=leaving())

    def banks(self) -> listings.Shelf:
        """The banks of vectors: own ones, newest first, then the samples.

        Returns:
            banks: name, vectors (how many), model, source and target layer, radius (R), method and hash of each
        """
        return listings.shelf(self._workbench.banks())

    def import_bank(
        self,
        file: gr.FileData,
        name: str | None = None,
        source: int | None = None,
        target: int | None = None,
        format: ReadFormat | None = None,
        counted: Literal["output", "input"] | None = None,
        radius: float | None = None,
        beside: list[gr.FileData] | None = None,
        file_name: str | None = None,
        rows: Literal["layers", "vectors"] | None = None,
        position: int | None = None,
    ) -> listings.Imported:
        """Put the bank in a file on the shelf: our own, published MELBO or DCT, GGUF, svec (docs/formats.md).

        Args:
            file: the file, uploaded; over MCP as a data: URL in base64
            name: name of the bank; left out: the file's
            source: source layer as the format counts it, if the file does not say or holds several
            target: block, from 0, at whose output changes were measured, if the file does not say
            format: format of the file; left out: recognised by its first bytes and its name
            counted: whether layer N is the output or the input of block N; left out: as the format has it
            radius: R of all vectors; left out: the file's
            beside: DCT's U and R, uploaded; not over MCP
            file_name: the file's own name, if a data: URL lost it
            rows: whether the rows of a table are layers, or vectors of one block; left out: asked
            position: number of the position to take, below 0 from the end; left out: the last
        Returns:
            name, vectors (how many), radius (R) and note (assumptions)
        """
        with ExitStack() as files:
            path = files.enter_context(uploaded(file, file_name))
            others = [files.enter_context(uploaded(other)) for other in beside or []]
            bank = self._workbench.import_bank(
                path, name, source=source, target=target, format=format, counted=counted, radius=radius, beside=others,
                rows=rows, position=position,
            )  # fmt: skip
        return listings.imported(bank)

    def export_bank(
        self, name: str, format: WrittenFormat = "safetensors", vector: int | None = None, radius: float | None = None
    ) -> gr.FileData:
        """A bank as a file to download, in one of the formats that docs/formats.md describes.

        Args:
            name: name of the bank
            format: safetensors keeps the whole record of the bank; gguf, svec and steering-vectors hold one vector
            vector: number of the vector; left out: all
            radius: R of the exported vectors; left out: their own
        Returns:
            the file; over MCP its address
        """
        stem = name if vector is None else f"{name}-{vector}"

        def write(out: Path) -> Path:
            return self._workbench.export_bank(name, out, format=format, vector=vector, radius=radius)

        path = written(stem, by_key(format).writes[0], write)
        return gr.FileData(path=path, orig_name=Path(path).name)

    def labels(self, bank: str | None = None) -> listings.LabelLines:
        """The labels that people gave to vectors.

        Args:
            bank: name of a bank; left out: the labels of all
        Returns:
            labels: bank, vector, name, tags, rating (1 to 5), note and updated of each, and readings: the AUROC, with
                its 95 % interval (low, high), of each person who told unseen texts of the vector from those of random
                vectors by this name
            damaged: a sentence for each label that cannot be read
        """
        found = self._workbench.labels(bank=bank)
        return listings.label_lines(found, self._workbench.readings_of(found))

    def save_label(
        self,
        bank: str,
        vector: int,
        name: str | None = None,
        tags: list[str] | None = None,
        rating: int | None = None,
        note: str | None = None,
        annotator: str = "",
    ) -> listings.LabelLine:
        """Label a vector. Fields that are left out stay as they are.

        Args:
            bank: name of the bank
            vector: number of the vector, from 0
            name: its effect in a few words
            tags: all its tags
            rating: 1 to 5; 0 removes it
            note: anything else
            annotator: whose label it is; left out: nobody's in particular
        Returns:
            the saved label
        """
        return listings.plain(save_label(self._workbench, bank, vector, name, tags, rating, note, annotator))

    def import_labels(
        self,
        file: gr.FileData,
        bank: str,
        annotator: str = "",
        each: bool = False,
        replace: bool = False,
        partly: bool = False,
        file_name: str | None = None,
    ) -> LabelsImported:
        """Take over a bank's labels from a CSV or JSONL file as the page and “labels export” write it: all or none.

        Args:
            file: the file, uploaded; over MCP as a data: URL in base64
            bank: name of the bank
            annotator: whose labels they are; left out: nobody's in particular
            each: whether to take every annotator's whom the file names, and the settled ones
            replace: whether to replace labels that are newer here
            partly: whether to leave out lines that cannot be taken, instead of refusing the file
            file_name: the file's own name, if a data: URL lost it
        Returns:
            bank; new, changed, same and nothing (how many labels); elsewhere and left_out (sentences about other lines)
        """
        with uploaded(file, file_name) as path:
            return self._workbench.import_labels(
                bank, path, annotator=annotator, each=each, replace=replace, partly=partly
            )
