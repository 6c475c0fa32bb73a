"""URDF files as ROS has them: meshes that are named by package are found, drawings that MuJoCo cannot read left out."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree

from qwenarm.errors import BadInput

MESH_SUFFIXES = (".stl", ".obj", ".msh")
"""Formats of meshes that MuJoCo reads."""
PACKAGE = "package://"


def urdf_for_mujoco(path: Path) -> str:
    """The text of a URDF file with the paths of its meshes, and without what is only drawn in other formats.

    A link without drawings is shown as what it touches with. Where the file tells MuJoCo itself where its meshes are
    (``<mujoco><compiler .../>``), their names stay as they are.

    Raises:
        BadInput: A mesh is in no package above the file, or what a link touches with is in another format.
        ElementTree.ParseError: It is no XML.
    """
    root = ElementTree.parse(path).getroot()
    for link in root.iter("link"):
        for visual in link.findall("visual"):
            mesh = visual.find("geometry/mesh")
            if mesh is not None and not _is_readable(mesh):
                link.remove(visual)
    for mesh in root.iter("mesh") if root.find("mujoco/compiler") is None else ():
        name = mesh.get("filename", "")
        if not _is_readable(mesh):
            raise BadInput(f"MuJoCo cannot read {name} in {path}; it reads {', '.join(MESH_SUFFIXES)}.")
        mesh.set("filename", str(_mesh_file(path, name)))
    return ElementTree.tostring(root, encoding="unicode")


def package_places(path: Path, name: str) -> list[Path]:
    """Where the file may be that a URDF file names by its package: in every folder above it."""
    if not name.startswith(PACKAGE):
        return []
    package, _, rest = name.removeprefix(PACKAGE).partition("/")
    above = path.absolute().parents
    return [(folder if folder.name == package else folder / package) / rest for folder in above]


def _mesh_file(path: Path, name: str) -> Path:
    """The file of a mesh that a URDF file names. Raises BadInput for one of a package that is not found."""
    places = package_places(path, name) or [path.parent / name.removeprefix("file://")]
    found = next(filter(Path.is_file, places), None)
    if found is None and name.startswith(PACKAGE):
        raise BadInput(f"Cannot find {name}: its package is not in the folders above {path}.")
    return (found or places[0]).absolute()


def _is_readable(mesh: ElementTree.Element) -> bool:
    return Path(mesh.get("filename", "")).suffix.lower() in MESH_SUFFIXES
