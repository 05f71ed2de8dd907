"""A folder with a small shop's data, an encoder and a recipe of seconds."""

from __future__ import annotations

from pathlib import Path

from distillation.__main__ import main
from distillation.recipe.files import recipe_path
from tests.support.small_shop import small_shop, write_encoder, write_wands


class RecipeFolder:
    """A smoke recipe beside its data, and which steps ran."""

    def __init__(self, root: Path) -> None:
        shop = small_shop()
        write_wands(shop, root)
        encoder = write_encoder(shop, root / "encoder")
        text = recipe_path("smoke").read_text().replace("rows = 4000", "rows = 320")
        self.text = text + f'\n[encoder]\nname = "{encoder}"\n'
        self.root, self.work, self.recipe = root, root / "work", root / "smoke.toml"
        self.recipe.write_text(self.text)

    def run(self, *words: str) -> int:
        return main([*words, str(self.recipe), "--work", str(self.work)])

    def stamp(self, step: str) -> int:
        return (self.work / step / "step.json").stat().st_mtime_ns
