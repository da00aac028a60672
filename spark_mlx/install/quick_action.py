"""macOS: "Speak with spark-mlx" in the Services menu, for text that is selected.

A workflow bundle for Automator: Info.plist tells the system of the service, document.wflow holds
its one action, a shell script that gets the selection on stdin. Its keys are those of bundles that
Automator itself has saved; it was never run by us.
"""

from __future__ import annotations

import os
import plistlib
import shutil
import sys
import uuid
from pathlib import Path
from typing import Any

from spark_mlx.errors import InstallError
from spark_mlx.install import blocks

TITLE = "Speak with spark-mlx"
BUNDLE = f"{TITLE}.workflow"
IDENTIFIER = "spark-mlx.speak-selection"
_ACTION = "/System/Library/Automator/Run Shell Script.action"
_STDIN = 0  # of Automator's inputMethod; 1 would be arguments
_TEXT = "com.apple.Automator.text"
_NOTHING = "com.apple.Automator.nothing"
_STRINGS = "com.apple.cocoa.string"


def install(folder: Path | None = None) -> Path:
    """Write the bundle; one of ours that is there already is written anew.

    Args:
        folder: where to; None for the user's Services, which only a Mac has.

    Returns:
        The bundle.

    Raises:
        InstallError: this is no Mac, a bundle of that name is not ours, or it cannot be written.
    """
    bundle = _services(folder) / BUNDLE
    if os.path.lexists(bundle):
        _check_ours(bundle)
    blocks.write(bundle / "Contents" / "Info.plist", plistlib.dumps(info()))
    blocks.write(bundle / "Contents" / "document.wflow", plistlib.dumps(workflow()))
    return bundle


def uninstall(folder: Path | None = None) -> Path:
    """Remove the bundle.

    Raises:
        InstallError: there is none, it is not ours, or it cannot be removed.
    """
    bundle = _services(folder) / BUNDLE
    _check_ours(bundle)
    try:
        shutil.rmtree(bundle)
    except OSError as error:
        raise InstallError(f"cannot remove {bundle}: {error.strerror or error}") from error
    return bundle


def _check_ours(bundle: Path) -> None:
    """
    Raises:
        InstallError: there is no bundle, or it is not ours.
    """
    if bundle.is_symlink():
        raise InstallError(f"{bundle} is a link, and not of spark-mlx; remove it by hand")
    try:
        found = plistlib.loads((bundle / "Contents" / "Info.plist").read_bytes())
    except FileNotFoundError:
        raise InstallError(f"there is no {bundle}; there is nothing to undo") from None
    except (OSError, plistlib.InvalidFileException, ValueError) as error:
        raise InstallError(f"cannot read {bundle} ({error}); remove it by hand") from error
    if not isinstance(found, dict) or found.get("CFBundleIdentifier") != IDENTIFIER:
        raise InstallError(f"{bundle} is not of spark-mlx; remove it by hand")


def info() -> dict[str, Any]:
    """Info.plist: the menu's entry, and that it takes text."""
    return {
        "CFBundleIdentifier": IDENTIFIER,
        "CFBundleName": TITLE,
        "CFBundleShortVersionString": "1.0",
        "NSServices": [
            {
                "NSMenuItem": {"default": TITLE},
                "NSMessage": "runWorkflowAsService",
                "NSSendTypes": ["public.utf8-plain-text"],
            }
        ],
    }


def workflow() -> dict[str, Any]:
    """Automator's document: one action, which pipes the selection to `spark-mlx say`."""
    parameters = {
        "COMMAND_STRING": f"exec {blocks.command('spark-mlx', 'spark_mlx')} say -f -",
        "CheckedForUserDefaultShell": True,
        "inputMethod": _STDIN,
        "shell": "/bin/sh",
        "source": "",
    }
    action = {
        "AMAccepts": {"Container": "List", "Optional": True, "Types": [_STRINGS]},
        "AMActionVersion": "2.0.3",
        "AMApplication": ["Automator"],
        "AMParameterProperties": {name: {} for name in parameters},
        "AMProvides": {"Container": "List", "Types": [_STRINGS]},
        "ActionBundlePath": _ACTION,
        "ActionName": "Run Shell Script",
        "ActionParameters": parameters,
        "BundleIdentifier": "com.apple.RunShellScript",
        "CFBundleVersion": "2.0.3",
        "CanShowSelectedItemsWhenRun": False,
        "CanShowWhenRun": True,
        "Category": ["AMCategoryUtilities"],
        "Class Name": "RunShellScriptAction",
        "InputUUID": _uuid("input"),
        "Keywords": ["Shell", "Script", "Command", "Run", "Unix"],
        "OutputUUID": _uuid("output"),
        "UUID": _uuid("action"),
        "UnlocalizedApplications": ["Automator"],
        "arguments": {},
        "isViewVisible": True,
    }
    return {
        "AMApplicationBuild": "523",
        "AMApplicationVersion": "2.10",
        "AMDocumentVersion": "2",
        "actions": [{"action": action, "isViewVisible": True}],
        "connectors": {},
        "workflowMetaData": {
            "inputTypeIdentifier": _TEXT,
            "outputTypeIdentifier": _NOTHING,
            "processesInput": False,
            "serviceInputTypeIdentifier": _TEXT,
            "serviceOutputTypeIdentifier": _NOTHING,
            "serviceProcessesInput": False,
            "useAutomaticInputType": False,
            "workflowTypeIdentifier": "com.apple.Automator.servicesMenu",
        },
    }


def _services(folder: Path | None) -> Path:
    if folder is not None:
        return folder
    if sys.platform != "darwin":
        raise InstallError(
            "a Quick Action is for macOS; on Linux: spark-mlx install speech-dispatcher"
        )
    return Path.home() / "Library" / "Services"


def _uuid(part: str) -> str:
    """The same every time, so that writing the bundle anew changes nothing."""
    return str(uuid.uuid5(uuid.NAMESPACE_URL, f"{IDENTIFIER}/{part}")).upper()
