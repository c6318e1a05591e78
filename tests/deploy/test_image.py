"""The image: deploy/image/Dockerfile ships what scripts/image packs, and its context holds all that Cargo builds from."""

import json
import pathlib
import re
import shutil
import struct
import subprocess
import tarfile
import tempfile
import unittest

from rendered import ROOT

DOCKERFILE = ROOT / "deploy/image/Dockerfile"
IGNORE = ROOT / "deploy/image/Dockerfile.dockerignore"
ROOTS = "-----BEGIN CERTIFICATE-----\nMA==\n-----END CERTIFICATE-----\n"


def instructions():
    """(instruction, arguments) of each line, continued lines joined."""
    text = re.sub(r"^#.*\n", "", DOCKERFILE.read_text(), flags=re.M)
    lines = re.sub(r"\\\n\s*", " ", text).splitlines()
    return [tuple(line.split(maxsplit=1)) for line in lines if line.strip()]


def stages():
    """Name → instructions of each stage; the last one is `None`."""
    found, name = {}, ""
    for instruction, arguments in instructions():
        if instruction == "FROM":
            parts = arguments.split()
            name = parts[2] if len(parts) == 3 else None
        found.setdefault(name, []).append((instruction, arguments))
    return found


def shipped():
    """Paths and configuration of the last stage."""
    files, config = [], {}
    for instruction, arguments in stages()[None][1:]:
        match instruction:
            case "COPY":
                files.append(arguments.split()[-1].lstrip("/"))
            case "ENTRYPOINT" | "CMD":
                config[instruction.capitalize()] = json.loads(arguments)
            case "ENV":
                config.setdefault("Env", []).append(arguments)
            case "USER" | "WORKDIR":
                config[{"USER": "User", "WORKDIR": "WorkingDir"}[instruction]] = arguments
            case _:
                raise AssertionError(f"{instruction} in the last stage is unknown to scripts/image")
    return sorted(files), config


def static_binary():
    """The least that passes for a static binary of amd64: an ELF header without program headers."""
    return struct.pack("<6s10xHHIQQQIHHHHHH", b"\x7fELF\x02\x01", 2, 62, 1, 0, 64, 0, 0, 64, 56, 0, 64, 0, 0)


def packed(*arguments):
    """Tar entries and configuration of the archive that scripts/image writes."""
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        (folder / "binary").write_bytes(static_binary())
        (folder / "roots").write_text(ROOTS)
        command = [ROOT / "scripts/image", "--binary", folder / "binary", "--roots", folder / "roots", "--output", folder / "image.tar"]
        subprocess.run([*command, *arguments], check=True, capture_output=True)
        with tarfile.open(folder / "image.tar") as image:
            [entry] = json.load(image.extractfile("manifest.json"))
            config = json.load(image.extractfile(entry["Config"]))
            with tarfile.open(fileobj=image.extractfile(entry["Layers"][0])) as layer:
                return {each.name: each for each in layer if each.isfile()}, config["config"]


class Image(unittest.TestCase):
    def test_both_ship_the_same_files_and_run_the_same(self):
        files, config = packed()
        self.assertEqual((sorted(files), config), shipped())
        self.assertEqual(files["azurelustre-csi"].mode, 0o755)
        self.assertEqual({each.uid for each in files.values()}, {0})

    def test_the_last_stage_is_from_scratch_and_copies_what_earlier_ones_made(self):
        first, *rest = stages()[None]
        self.assertEqual(first, ("FROM", "scratch"))
        for instruction, arguments in rest:
            if instruction == "COPY":
                stage, source, _ = re.fullmatch(r"--from=(\S+) (\S+) (\S+)", arguments).groups()
                made = " ".join(each for _, each in stages()[stage])
                self.assertTrue(source in made or "install -y --no-install-recommends ca-certificates" in made, source)

    def test_base_images_are_pinned_by_tag_and_resolved_by_the_release(self):
        bases = dict(arguments.split("=") for instruction, arguments in stages()[""] if instruction == "ARG")
        rust = re.search(r'^rust-version = "(.*)"$', (ROOT / "Cargo.toml").read_text(), re.M)[1]
        self.assertRegex(bases["RUST"], rf"^rust:{re.escape(rust)}-")
        for name, reference in bases.items():
            self.assertRegex(reference, r"^[a-z]+:[a-z0-9.-]+$", name)
            self.assertNotIn("latest", reference)
            self.assertIn(name, (ROOT / ".github/workflows/release.yml").read_text())

    def test_both_build_the_same_binary_within_the_same_limit(self):
        script, build = (ROOT / "scripts/image").read_text(), " ".join(arguments for _, arguments in stages()["build"])
        for part in ("--locked", "--release", "--no-default-features", "--features", "--bin", "azurelustre-csi", "target-feature=+crt-static"):
            self.assertIn(part, build)
            self.assertIn(f'{part}"', script)
        self.assertIn(("ARG", "FEATURES=driver"), stages()["build"])
        self.assertIn(f"-le {12 * 1024 * 1024}", build)
        self.assertIn("LARGEST_LAYER = 12 * 1024 * 1024", script)

    def test_a_binary_that_cannot_run_alone_is_refused(self):
        with tempfile.TemporaryDirectory() as folder:
            for content, expected in ((b"#!/bin/sh", "no 64-bit ELF"), (dynamic_binary(), "linked dynamically")):
                (pathlib.Path(folder) / "binary").write_bytes(content)
                done = subprocess.run(
                    [ROOT / "scripts/image", "--binary", f"{folder}/binary", "--output", f"{folder}/image.tar"], capture_output=True, text=True
                )
                self.assertEqual((done.returncode, expected in done.stderr), (1, True), done.stderr)


def dynamic_binary():
    """The same with a program header that names a dynamic loader."""
    header = struct.pack("<6s10xHHIQQQIHHHHHH", b"\x7fELF\x02\x01", 2, 62, 1, 0, 64, 0, 0, 64, 56, 1, 64, 0, 0)
    return header + struct.pack("<I52x", 3)


class Context(unittest.TestCase):
    def test_it_holds_all_that_cargo_needs_and_nothing_that_was_built(self):
        first, *kept = [line for line in IGNORE.read_text().splitlines() if line]
        self.assertEqual(first, "*")
        self.assertTrue(all(line.startswith("!") for line in kept), kept)
        with tempfile.TemporaryDirectory() as folder:
            context = pathlib.Path(folder)
            for name in (line[1:] for line in kept):
                source, target = ROOT / name, context / name
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copytree(source, target) if source.is_dir() else shutil.copy(source, target)
            self.assertFalse((context / "target").exists())
            self.check_cargo(context)
            self.check_included_files(context)

    def check_cargo(self, context):
        """Cargo finds the file of every target that the manifest names."""
        command = ["cargo", "metadata", "--no-deps", "--offline", "--format-version=1", "--manifest-path", context / "Cargo.toml"]
        done = subprocess.run(command, capture_output=True, text=True)
        self.assertEqual(done.returncode, 0, done.stderr)
        for target in json.loads(done.stdout)["packages"][0]["targets"]:
            self.assertTrue(pathlib.Path(target["src_path"]).exists(), target["name"])

    def check_included_files(self, context):
        """Folders of files that the source includes; where the name is put together its literal part is what counts."""
        included = re.compile(r'include_(?:str|bytes)!\(\s*(?:concat!\(\s*)?"([^"]+)"')
        found = 0
        for path in (context / "src").rglob("*.rs"):
            for name in included.findall(path.read_text()):
                found += 1
                self.assertTrue((path.parent / name).exists(), f"{path.relative_to(context)} includes {name}")
        self.assertGreater(found, 0)
