"""Verbs about what is kept: models, banks and labels."""

from pathlib import Path
from typing import Literal

import gradio as gr

from melbo_app import results
from melbo_app.defaults import save_label
from melbo_app.errors import InputError
from melbo_app.jobs.loaded_model import ModelState
from melbo_app.ui.files import uploaded, written
from melbo_app.workbench import Workbench


class LibraryVerbs:
    """Models, banks and labels."""

    def __init__(self, workbench: Workbench) -> None:
        self._workbench = workbench

    def models(self) -> results.KnownModels:
        """The models that can be loaded at once, and which one is loaded.

        Returns:
            models: name, spec (what to give to load_model) and loaded of each
        """
        return results.known_models(self._workbench.models())

    def load_model(self, spec: str | None = None) -> ModelState:
        """Load a model that `models` lists, and wait until it is there. All users share the loaded model.

        Args:
            spec: what `models` gives for it; left out: the model in memory, or the server's own
        Returns:
            name, loaded, blocks, hidden_size, context (tokens), dtype, device, has_template and weights_hash
        """
        known = [entry.spec for entry in self._workbench.models()]
        if spec is not None and spec not in known:  # a path would let a program look around on the server
            raise InputError("model", f"“{spec[:80]}” is not ready to be loaded", "Choose a spec that models lists")
        return self._workbench.load_model(spec)

    def banks(self) -> results.Shelf:
        """The banks of vectors: own ones, newest first, then the samples.

        Returns:
            banks: name, vectors (how many), model, source and target layer, radius (R), method and hash of each
        """
        return results.shelf(self._workbench.banks())

    def import_bank(
        self,
        file: gr.FileData,
        name: str | None = None,
        source: int | None = None,
        target: int | None = None,
        file_name: str | None = None,
    ) -> results.Imported:
        """Put the bank in a file on the shelf: our own .safetensors, other safetensors, or .pt in the published layout.

        Args:
            file: the file, uploaded; over MCP as a data: URL in base64
            name: what to call the bank; left out: after the file
            source: block, from 0, to whose output the vectors are added, if the file does not say
            target: block, from 0, at whose output changes were measured, if the file does not say
            file_name: the file's own name, where it was lost in a data: URL; its ending says the format
        Returns:
            name, vectors (how many), radius (R) and note (what was assumed)
        """
        with uploaded(file, file_name) as path:
            name = Path(file_name).stem if name is None and file_name else name
            return results.imported(self._workbench.import_bank(path, name, source=source, target=target))

    def export_bank(self, name: str, format: Literal["safetensors", "pt"] = "safetensors") -> gr.FileData:
        """A bank as a file to download.

        Args:
            name: the bank's
            format: safetensors (with all that is known of it) or pt (the vectors alone, [V, d])
        Returns:
            the file; over MCP its address
        """
        path = written(name, f".{format}", lambda out: self._workbench.export_bank(name, out))
        return gr.FileData(path=path, orig_name=Path(path).name)

    def labels(self, bank: str | None = None) -> results.LabelLines:
        """What people say that vectors do.

        Args:
            bank: name of a bank; left out: the labels of all
        Returns:
            labels: bank, vector, name, tags, rating (1 to 5), note and updated of each
        """
        if bank is None:
            return results.label_lines(self._workbench.labels())
        return results.label_lines(self._workbench.bank_labels(bank).values())

    def save_label(
        self,
        bank: str,
        vector: int,
        name: str | None = None,
        tags: list[str] | None = None,
        rating: int | None = None,
        note: str | None = None,
    ) -> results.LabelLine:
        """Say what a vector does. What is left out stays as it is.

        Args:
            bank: name of the bank
            vector: number of the vector, from 0
            name: what it does, in a few words
            tags: all tags that it is to have
            rating: 1 to 5; 0 takes it away
            note: anything else
        Returns:
            the label as it is kept
        """
        return results.plain(save_label(self._workbench, bank, vector, name, tags, rating, note))
