"""What `zerotohero train` does: a recipe, changes and data become a trained model in a folder.

Everything is checked before the first step, and only then is anything written, so a run that
could not start leaves nothing behind.
"""

import dataclasses
import shutil
import sys
from pathlib import Path

import torch
from tqdm.auto import tqdm

from zerotohero.course import adder, measuring, settings, train_assistant
from zerotohero.course.bill import Bill
from zerotohero.course.curve import Curve
from zerotohero.course.run import (
    RUNS,
    Run,
    check_device,
    check_free,
    first,
    resume_command,
    say,
)
from zerotohero.course.sources import JUDGED, OURS, Data, fitted, pretrained, read_data
from zerotohero.gpt import GPT, GPTConfig
from zerotohero.huggingface import no_words_for
from zerotohero.text import BytePairTokens
from zerotohero.training import TrainConfig, Trainer, evaluate, load_checkpoint
from zerotohero.training.config import FREE
from zerotohero.training.machine import place
from zerotohero.training.recipes import RECIPES

# A trained model is changed gently, so that it doesn't forget what it knows; a recipe's rate is for
# random weights.
FINE_TUNING = TrainConfig(steps=200, batch_size=8, lr=1e-4, eval_every=50, eval_batches=10)
PLAIN = "nanogpt-cpu"  # for a text of one's own; `transformers` can load what comes of it


def show_recipes() -> None:
    say("Train one of these with `zerotohero train NAME`, with changes such as steps=500:")
    for name, recipe in RECIPES.items():
        say(f"  {name:<18} {recipe.says}")
    say("`--data my.txt` takes a text of your own; `zerotohero train --help` says the rest.")


def train(
    words: list[str],
    *,
    config: Path | None = None,
    data: str | None = None,
    out: Path | None = None,
    resume: bool = False,
    init_from: str | None = None,
    skip_unknown: bool = False,
    tokenizer: str | None = None,
    hellaswag: str | None = None,
    prompt: str | None = None,
    device: str | None = None,
    dry_run: dict[str, object] | None = None,
) -> None:
    """Train a model in a folder of its own, or go on with one, and report on it.

    dry_run: fields of a Bill; then only what the run would take is said.
    """
    name, wish = settings.from_words(words)
    asked = {"recipe": name, "data": data, "init_from": init_from, "tokenizer": tokenizer}
    asked |= {"hellaswag": hellaswag, "prompt": prompt}
    asked = {key: value for key, value in asked.items() if value is not None}
    if config:
        options, changes = settings.from_file(config)
        asked, wish = options | asked, changes | wish
    if "data" in asked and not (config or resume or {"recipe", "init_from"} & asked.keys()):
        asked["recipe"] = PLAIN
        say(f"The recipe is {PLAIN}, since none is named; `zerotohero train` lists all.")
    recipe = asked.get("recipe")
    if recipe and recipe not in RECIPES:
        meant = f"did you mean --data {recipe}?" if Path(recipe).is_file() else None
        raise ValueError(
            f"There is no recipe {recipe!r}; {meant or settings.nearest(recipe, RECIPES)}"
        )
    if not (config or recipe or "init_from" in asked or (resume and out)):
        what = (
            "the run's folder with --out, or its recipe"
            if resume
            else "a recipe, such as nanogpt-cpu"
        )
        raise ValueError(f"Name {what}; `zerotohero train` alone lists the recipes.")
    if "data" in asked and asked["data"] not in (*OURS, "adder"):
        asked["data"] = str(Path(asked["data"]).resolve())
    for what in ("init_from", "hellaswag"):
        if what in asked and Path(asked[what]).exists():
            asked[what] = str(Path(asked[what]).resolve())
    folder = out or RUNS / (config.stem if config else recipe or "fine-tuned")

    begun = resume and (folder / "run.json").is_file() and Run.read(folder)
    if recipe == train_assistant.NAME or (begun and begun.recipe == train_assistant.NAME):
        given = {"--init-from": init_from, "--tokenizer": tokenizer, "--dry-run": dry_run}
        given |= {"--skip-unknown": skip_unknown or None}
        given |= {"--hellaswag": hellaswag, "--prompt": prompt}
        if wrong := [option for option, value in given.items() if value is not None]:
            raise ValueError(f"The assistant's four stages don't take {wrong[0]}: leave it out.")
        train_assistant.train(folder, asked.get("data"), wish, resume=resume, device=device)
        return
    if dry_run is not None:
        if resume:
            raise ValueError("--dry-run is for a run that is to begin: leave --resume out.")
        bill = Bill(**dry_run)
        bill.show(*planned(asked, wish, skip_unknown, bill.devices))
        return
    device = check_device(device)
    if resume:
        run, model, its = continued(Run.read(folder), folder, asked, wish)
    else:
        if first():  # the others may come when it has written already
            check_free(folder)
        run, model, its = prepare(asked, wish, skip_unknown, place()[1])
        if first():
            its.verify()
        if model is None:
            model = GPT(run.model, torch.Generator().manual_seed(run.train.seed))
    measured = measuring.measures(run)
    trainer = Trainer(
        run.train,
        model,
        its.train,
        its.val,
        folder=folder,
        device=device,
        resume=resume,
        measures=measured,
        extra={"chars": run.chars},
        progress=sys.stderr.isatty(),
    )
    if trainer.step > run.train.steps:
        raise ValueError(
            f"{folder} has made {trainer.step:,} steps already: it can be given more, but not "
            f"steps={run.train.steps}."
        )
    if first() and not resume:
        check_free(folder)  # again, because another run may have begun there since
    learn(trainer, run, folder, its)


def planned(
    asked: dict[str, str], wish: dict[str, object], skip_unknown: bool, processes: int
) -> tuple[GPTConfig, TrainConfig]:
    """Return the sizes and the plan of a new run, for which there need be no data yet."""
    recipe = asked.get("recipe")
    if recipe and RECIPES[recipe].data is None and not asked.keys() & {"data", "init_from"}:
        model_wish = {key: value for key, value in wish.items() if key in settings.MODEL}
        sizes = dataclasses.replace(RECIPES[recipe].model, **model_wish)
        return sizes, plan(asked, wish, processes)
    run, _, _ = prepare(asked, wish, skip_unknown, processes)
    return run.model, run.train


def plan(asked: dict[str, str], wish: dict[str, object], processes: int) -> TrainConfig:
    """Return how a new run trains: its recipe's plan, with changes.

    A recipe's micro-batches are those of one device: so many processes have a share of them.
    """
    recipe, init_from = asked.get("recipe"), asked.get("init_from")
    train_wish = {key: value for key, value in wish.items() if key in settings.TRAIN}
    if not (recipe or init_from):
        if "steps" not in train_wish:
            raise ValueError("Say how many steps to train, as steps=2000, or name a recipe.")
        return TrainConfig(**train_wish)
    base = FINE_TUNING if init_from else RECIPES[recipe].train
    if "steps" in wish and base.warmup and "warmup" not in wish:  # short, it isn't all warm-up
        train_wish["warmup"] = min(base.warmup, wish["steps"] // 10)
    if "accumulate" not in wish and base.accumulate % processes == 0:
        train_wish["accumulate"] = base.accumulate // processes
    return dataclasses.replace(base, **train_wish)


def vocabulary(V: int, recipe: str | None, wish: dict[str, object]) -> int:
    """Return the model's vocab_size for data of V tokens: as wished, or as the recipe pads it."""
    multiple = RECIPES[recipe].pad if recipe else 1
    size = wish.get("vocab_size", -(-V // multiple) * multiple)
    if size < V:
        raise ValueError(
            f"vocab_size is {size}, but the data have {V} tokens: leave it out, or make it larger."
        )
    return size


def prepare(
    asked: dict[str, str], wish: dict[str, object], skip_unknown: bool, processes: int
) -> tuple[Run, GPT | None, Data]:
    """Return a new run, the pretrained model that it begins with if it does, and its data."""
    recipe, init_from = asked.get("recipe"), asked.get("init_from")
    model_wish = {key: value for key, value in wish.items() if key in settings.MODEL}
    train_config = plan(asked, wish, processes)

    model, tokenizer = None, asked.get("tokenizer")
    if init_from and tokenizer:
        raise ValueError("A pretrained model has its own vocabulary: leave --tokenizer out.")
    if init_from:
        changes = {"dropout": wish["dropout"]} if "dropout" in wish else {}
        model, tokenizer = pretrained(init_from, **changes)
        model_config = fitted(model, init_from, model_wish).config
    else:
        base = RECIPES[recipe].model if recipe else GPTConfig()
        model_config = dataclasses.replace(base, **model_wish)
    source = asked.get("data", RECIPES[recipe].data if recipe else "tinyshakespeare")
    if source is None:
        raise ValueError(
            f"{recipe} has no data of its own: make shards, as by `zerotohero data shards "
            "fineweb-edu FOLDER`, and name the folder by --data."
        )
    its = read_data(source, tokenizer, model_config.block_size, skip_unknown)
    if model is None:
        V = vocabulary(len(its.tokenizer), recipe, wish)
        model_config = dataclasses.replace(model_config, vocab_size=V)
    chars = getattr(its.tokenizer, "chars", None)
    pieces = its.tokenizer if isinstance(its.tokenizer, BytePairTokens) else None
    run = Run(
        recipe,
        init_from,
        source,
        its.sha256,
        skip_unknown,
        chars,
        model_config,
        train_config,
        pieces,
        its.documents,
        model_config.vocab_size - len(its.tokenizer),
        *measuring.asked(asked.get("hellaswag")),
        asked.get("prompt"),
    )
    return run, model, its


def continued(
    run: Run, folder: Path, asked: dict[str, str], wish: dict[str, object]
) -> tuple[Run, GPT, Data]:
    """Return a run that goes on, a model of its shape, and its data, which must be the same.

    The Trainer takes the weights from last.pt; where there is none yet, it begins again.
    """
    for what in ("recipe", "init_from", "hellaswag", "prompt"):
        if asked.get(what) not in (None, getattr(run, what)):
            raise ValueError(
                f"{folder} was begun with {what} {getattr(run, what)}, not {asked[what]}; name "
                "another folder with --out."
            )
    if "tokenizer" in asked:
        raise ValueError(f"{folder} goes on with its own vocabulary: leave --tokenizer out.")
    fields = dataclasses.asdict(run.model) | dataclasses.asdict(run.train)
    for key, value in wish.items():
        if value != fields[key] and key not in FREE:
            raise ValueError(
                f"{folder} was begun with {key}={fields[key]}, and goes on with it; for "
                f"{key}={value}, begin a run in another folder with --out."
            )
    free = {key: value for key, value in wish.items() if key in FREE}
    run = dataclasses.replace(run, train=dataclasses.replace(run.train, **free))
    source = asked.get("data", run.data)
    its = read_data(source, run.tokenizer, run.model.block_size, run.skip_unknown)
    if its.sha256 != run.sha256:
        raise ValueError(
            f"{source} is no longer what {folder} was trained on (its SHA-256 differs); restore "
            "the old file, or begin a new run, which --init-from can start from this one."
        )
    if run.init_from and not (folder / "last.pt").exists():
        model, _ = pretrained(run.init_from, dropout=run.model.dropout)
        model = fitted(model, run.init_from, dataclasses.asdict(run.model))
    else:
        model = GPT(run.model, torch.Generator().manual_seed(run.train.seed))
    return run, model, its


def learn(trainer: Trainer, run: Run, folder: Path, its: Data) -> None:
    """Run the trainer, and print what a person at a terminal wants to know before and after."""
    say(f"Model: {trainer.model.num_params():,} parameters, on {trainer.device}")
    if run.init_from:
        alone = "; of the recipe, only the data count" if run.recipe else ""
        say(f"From:  {run.init_from}{alone}")
    say(f"Data:  {run.data}, {its.says()}")
    say(
        f"Steps: {run.train.steps:,}, each with {run.train.batch_size} rows of "
        f"{its.width(run.model)} tokens, at a learning rate of {run.train.lr:g}"
    )
    if trainer.step:
        left = run.train.steps - trainer.step
        say(f"       {trainer.step:,} are made, " + (f"{left:,} to go" if left else "which is all"))
    shown = Curve(folder / "curve.png")
    trainer.on("eval", lambda t: tqdm.write(progress_line(t, its)))
    for event in ("eval", "end"):
        trainer.on(event, shown)
    fresh = not folder.exists() or not any(folder.iterdir())
    if first():
        run.write(folder)
    try:
        trainer.run()
    except KeyboardInterrupt:
        say(f"Stopped after step {trainer.step:,}. Go on with `{resume_command(folder)}`.")
        raise SystemExit(130) from None
    except Exception:
        if fresh and first() and not (folder / "last.pt").exists():
            shutil.rmtree(folder)  # it failed before there was anything to keep
        raise
    if not first():
        return
    best = load_checkpoint(folder / "best.pt")
    trainer.model.load_state_dict(best["model"])
    rows = max(1, run.train.batch_size // run.train.accumulate)  # what fitted into the memory
    val, on = its.val, "all of the validation data"
    if not isinstance(val, tuple) and len(val) > JUDGED:
        val, on = val[:JUDGED], f"the first {JUDGED:,} tokens of the validation data"
    loss = evaluate(trainer.model, val, batch_size=rows, precision=trainer.precision)
    say(
        f"{trainer.step:,} steps in {trainer.seconds:.1f} s. The best model, of step "
        f"{best['step']:,}, has a loss of {loss:.4f} on {on}."
    )
    if bits := its.bits_per_byte(loss):
        say(f"That is {bits}, which can be compared whatever the tokens are.")
    if run.data == "adder":
        _, unseen = adder.draw_pairs()
        share = adder.share_right(trainer.model, unseen)
        say(f"Of {len(unseen):,} sums that it has not seen, {share:.1%} are exactly right.")
    say(f"Sample from it:  zerotohero sample {folder}")
    if not no_words_for(run.model):
        say(f"Hand it on:      zerotohero export {folder} FOLDER")


def progress_line(trainer: Trainer, its: Data) -> str:
    row = trainer.log[-1]
    bits = its.bits_per_byte(row["val_loss"])
    said = (
        f"step {row['step']:>7,}   loss {row['loss']:.4f}   validation {row['val_loss']:.4f}"
        f"{bits and f' ({bits})'}   {row['seconds']:.1f} s"
    )
    if "hellaswag" in row:
        said += f"   HellaSwag {row['hellaswag']:.1%}"
    return said + (f"\n{row['sample']}\n" if "sample" in row else "")
