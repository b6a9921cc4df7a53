"""Packaging for flairnb; every setting comes from settings.ini."""

from configparser import ConfigParser
from pathlib import Path

from setuptools import find_packages, setup

here = Path(__file__).parent
parser = ConfigParser(delimiters=["="])
parser.read(here / "settings.ini", encoding="utf-8")
settings = parser["DEFAULT"]


def words(key: str) -> list[str]:
    return settings.get(key, "").split()


extras = {
    key.removeprefix("extra_").replace("_", "-"): words(key)
    for key in settings
    if key.startswith("extra_")
}

setup(
    name=settings["lib_name"],
    version=settings["version"],
    description=settings["description"],
    long_description=(here / "README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    author=settings["author"],
    author_email=settings["author_email"],
    url=settings["git_url"],
    keywords=settings["keywords"],
    license="MIT",
    license_files=["LICENSE"],
    packages=find_packages(include=["flairnb", "flairnb.*"]),
    package_data={"flairnb": ["py.typed", "resources/*", "resources/**/*"]},
    include_package_data=True,
    python_requires=f">={settings['min_python']}",
    install_requires=words("requirements"),
    extras_require={"dev": words("dev_requirements"), **extras},
    entry_points={
        "console_scripts": words("console_scripts"),
        "nbdev": [f"{settings['lib_name']}={settings['lib_path']}._modidx:d"],
    },
    classifiers=[
        "Development Status :: 3 - Alpha",
        "Intended Audience :: Science/Research",
        "Natural Language :: English",
        "Programming Language :: Python :: 3.10",
        "Programming Language :: Python :: 3.11",
        "Programming Language :: Python :: 3.12",
        "Programming Language :: Python :: 3.13",
        "Topic :: Scientific/Engineering :: Artificial Intelligence",
        "Typing :: Typed",
    ],
    zip_safe=False,
)
