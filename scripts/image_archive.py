"""Container images as archives that `docker load` and `ctr images import` take, written without a daemon.

An archive holds one layer for each image. Times and owners are fixed, so equal contents make an equal archive.
"""

import hashlib
import io
import json
import pathlib
import tarfile


class Layer:
    """The files of an image, in memory."""

    def __init__(self):
        self._entries = {}

    def _parents(self, path):
        for parent in reversed(pathlib.PurePosixPath(path).parents):
            if str(parent) not in (".", "/"):
                self._entries.setdefault(str(parent), (self._info(str(parent), tarfile.DIRTYPE, 0o755), b""))

    @staticmethod
    def _info(path, kind, mode):
        info = tarfile.TarInfo(path)
        info.type, info.mode = kind, mode
        return info

    def add(self, path, content, mode=0o644):
        """A file with this content."""
        self._parents(path)
        info = self._info(path, tarfile.REGTYPE, mode)
        info.size = len(content)
        self._entries[path] = (info, content)
        return self

    def folder(self, path, mode=0o755):
        """An empty folder."""
        self._parents(path)
        self._entries[path] = (self._info(path, tarfile.DIRTYPE, mode), b"")
        return self

    def link(self, path, target):
        """A symbolic link."""
        self._parents(path)
        info = self._info(path, tarfile.SYMTYPE, 0o777)
        info.linkname = target
        self._entries[path] = (info, b"")
        return self

    def tar(self):
        """The layer as an uncompressed tar."""
        buffer = io.BytesIO()
        with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as archive:
            for info, content in self._entries.values():
                archive.addfile(info, io.BytesIO(content) if info.isreg() else None)
        return buffer.getvalue()


class Image:
    """A layer, the names that it goes by, and how it is run."""

    def __init__(self, names, layer, architecture="amd64", **config):
        self.names, self.architecture, self.config = names, architecture, config
        self.layer = layer.tar()

    def parts(self):
        """Its entry of the archive's manifest, and the files that the entry names."""
        layer = hashlib.sha256(self.layer).hexdigest()
        config = json.dumps(
            {
                "architecture": self.architecture,
                "os": "linux",
                "config": self.config,
                "rootfs": {"type": "layers", "diff_ids": [f"sha256:{layer}"]},
            },
            sort_keys=True,
        ).encode()
        name = f"{hashlib.sha256(config).hexdigest()}.json"
        entry = {"Config": name, "RepoTags": self.names, "Layers": [f"{layer}/layer.tar"]}
        return entry, {name: config, f"{layer}/layer.tar": self.layer}


def write(path, images):
    """Writes an archive of images."""
    files, manifest = {}, []
    for image in images:
        entry, parts = image.parts()
        manifest.append(entry)
        files.update(parts)
    files["manifest.json"] = json.dumps(manifest).encode()
    with tarfile.open(path, "w", format=tarfile.PAX_FORMAT) as archive:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
