"""A reader of `torch.export` archives that gives torch nothing to execute. It loads torch's compiler."""

from __future__ import annotations

from torch.export.pt2_archive import PT2ArchiveReader
from torch.export.pt2_archive import constants as archive

from export.guards import archives

PAYLOADS = (archive.WEIGHTS_DIR, archive.CONSTANTS_DIR)


class PlainReader(PT2ArchiveReader):
    """A reader that refuses what torch would unpickle, evaluate, import, or call beyond arithmetic; example inputs,
    which no caller needs, are not read.
    """

    def get_file_names(self) -> list[str]:
        names = super().get_file_names()
        # The layout of torch 2.7, which is pickle.
        pickled = [name for name in names if name.startswith(PAYLOADS) and name.endswith(".pt")]
        if pickled:
            raise ValueError(f"{pickled[0]} is pickled, which nothing that bst writes is")
        return names

    def read_bytes(self, name: str) -> bytes:
        if name.startswith(archive.SAMPLE_INPUTS_FILENAME_FORMAT.split("{}")[0]):
            return b""
        data = super().read_bytes(name)
        if name.startswith(archive.MODELS_DIR):
            return archives.plain_program(data)
        if name.endswith("_config.json"):
            archives.require_plain_payloads(data)
        return data

    def read_string(self, name: str) -> str:
        return self.read_bytes(name).decode()
