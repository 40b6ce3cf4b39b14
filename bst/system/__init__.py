"""The system: files, processes, memory, text; nothing here knows of recommenders."""

from bst.system.console import Tell, progress_bar, told_steps
from bst.system.files import (
    DATA_BYTES,
    alone_in,
    parse_json,
    read_json,
    read_text,
    remove_leftovers,
    replaced_folder,
    require_new,
    require_plain_file,
    require_space,
    staged_folder,
    temporary_folder,
    to_json,
    write_atomically,
)
from bst.system.machine import cpu_fields, cpu_flags, cpu_model, last_cores, memory_bytes, read_system, resident_bytes
from bst.system.plain_tensors import read_plain_tensors, require_one_reading
from bst.system.processes import context, end_with_parent, in_own_process, undisturbed_start
from bst.system.registry import Registry
from bst.system.templates import macros, render
from bst.system.text import split_list
from bst.system.validation import json_schema, validated

__all__ = [
    "DATA_BYTES",
    "Registry",
    "Tell",
    "alone_in",
    "context",
    "cpu_fields",
    "cpu_flags",
    "cpu_model",
    "end_with_parent",
    "in_own_process",
    "json_schema",
    "last_cores",
    "macros",
    "memory_bytes",
    "parse_json",
    "progress_bar",
    "read_json",
    "read_plain_tensors",
    "read_system",
    "read_text",
    "remove_leftovers",
    "render",
    "replaced_folder",
    "require_new",
    "require_one_reading",
    "require_plain_file",
    "require_space",
    "resident_bytes",
    "split_list",
    "staged_folder",
    "temporary_folder",
    "to_json",
    "told_steps",
    "undisturbed_start",
    "validated",
    "write_atomically",
]
