"""Where environments come from: found by name, made, and made again."""

from __future__ import annotations

import contextlib
import dataclasses
import warnings
import weakref
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from rewirl.environments.environment import Environment
from rewirl.environments.identity import import_named, registered
from rewirl.environments.likeness import likeness
from rewirl.environments.portrait import differing, layers, moving, portrait
from rewirl.environments.recipe import Recipe, named_wrapper, recipe_of
from rewirl.environments.spaces import UnsuitableEnvironmentError
from rewirl.plugins import RAISED, place_of
from rewirl.saved import fields, shown

if TYPE_CHECKING:
    import gymnasium

UNCHECKED = "whether another one is the same was not checked"
"""Why nobody else can make an environment of which no spare one was made."""


@dataclass(frozen=True)
class EnvironmentSource:
    """Where environments come from: a registered id, a function of the user's, or one environment of the user's."""

    name: str
    make_training: Callable[[], Environment]
    make_another: Callable[[], Environment] | None
    """Makes further environments, for evaluation; None if the one environment of the user's cannot be made again."""
    recipe: Recipe | None = None
    """How anybody makes it again, which files keep; None where only the user's own program can."""
    module: str | None = None
    task: str = ""
    """The registered id that the environment was made from, where Gymnasium can tell; else its name."""
    made_by: str = "an id"
    """What was handed over: "an id", "an object" or "a function"."""
    why: str = ""
    """Why nobody but the user's own program can make it again, in words."""
    changes: tuple[str, ...] = ()
    """Attributes in which it differs from one that is made from its id and arguments, as Class.attribute."""
    likeness: Mapping[str, Any] | None = None
    """What it is like, where nobody else can make it again: see `rewirl.environments.likeness`."""
    examine: Callable[[bool], EnvironmentSource] | None = None
    """Returns what is certain of an environment handed over, once a spare one was made and compared; None where all is
    certain. Where its argument is false none is made, and only what needs none is certain."""

    @property
    def id(self) -> str | None:
        """The registered id that, with `kwargs`, makes the environment; None where that is not enough."""
        return None if self.recipe is None or self.recipe.wrappers else self.recipe.id

    @property
    def kwargs(self) -> Mapping[str, Any]:
        """The arguments that go with `id`."""
        return {} if self.recipe is None or self.recipe.wrappers else self.recipe.kwargs

    def values(self) -> dict[str, Any]:
        """Return as JSON values what a run's record says of it besides `id` and `kwargs`; nothing where those do."""
        if self.id is not None:
            return {}
        recipe = None if self.recipe is None else self.recipe.values()
        like = {} if self.likeness is None or self.recipe is not None else {"likeness": dict(self.likeness)}
        return {"made_by": self.made_by, "recipe": recipe, "why": self.why, "changes": list(self.changes), **like}


def environment_source(
    env: str | gymnasium.Env[Any, Any] | Callable[[], gymnasium.Env[Any, Any]],
    kwargs: Mapping[str, Any] | None = None,
    module: str | None = None,
    wrapper: Sequence[str] = (),
) -> EnvironmentSource:
    """Find out how to make an environment.

    Args:
        env: a Gymnasium id, an environment, or a function without arguments that returns a new one.
        kwargs: arguments for an environment given by its id.
        module: Python module imported first, which registers environments of the user's own.
        wrapper: wrappers for an environment given by its id, each module:Class, from the inside.

    Returns:
        The source; nothing is made yet.

    Raises:
        UnsuitableEnvironmentError: the id is unknown (the nearest one is named), a module cannot be imported, there is
            no such wrapper, or `env` is none of the three.
    """
    import gymnasium

    settings = dict(kwargs or {})
    import_named(module)
    if isinstance(env, str):
        identity = registered(env, module)
        for name in wrapper:
            named_wrapper(name)
        return source_of(Recipe(identity, settings, named=tuple(wrapper)), module)
    if wrapper:
        raise UnsuitableEnvironmentError("wrapper only goes with an environment given by its id; put yours into it")
    if settings:
        raise UnsuitableEnvironmentError("env_kwargs only go with an environment given by its id")
    if isinstance(env, gymnasium.vector.VectorEnv):
        raise UnsuitableEnvironmentError(
            f"{env} is a vector of environments; give one environment, its id, or a function that makes one; n_envs "
            "says how many"
        )
    if isinstance(env, gymnasium.Env):
        return _HandedOver(env, None, module).source()
    if callable(env):
        return _HandedOver(made_by_function(env), env, module).source()
    raise UnsuitableEnvironmentError(
        f"an environment is given by its id, as a gymnasium.Env or as a function that makes one; got {env!r}"
    )


def source_of(recipe: Recipe, module: str | None, made_by: str = "an id") -> EnvironmentSource:
    """Return where environments come from that are made from a recipe; its modules are imported already."""

    def make() -> Environment:
        return Environment(recipe.make(module), recipe.name)

    return EnvironmentSource(recipe.name, make, make, recipe, module, recipe.id, made_by)


def recorded_source(name: str, recorded: Mapping[str, Any], module: str | None) -> EnvironmentSource:
    """Return where the environment of a run or a policy comes from, of which its id does not say enough.

    Args:
        name: what it is called there.
        recorded: what `EnvironmentSource.values` returned.
        module: the user's own, imported first.

    Raises:
        UnsuitableEnvironmentError: only the program that made it can make it again, or it cannot be found here.
        ValueError: the record is impossible.
    """
    made_by = recorded.get("made_by")
    if made_by not in ("an object", "a function"):
        raise ValueError(f"the environment was made by {shown(made_by)}, which is neither an object nor a function")
    if recorded.get("recipe") is None:
        why = recorded.get("why")
        raise UnsuitableEnvironmentError(
            f"{name} was handed over as {made_by} of a Python program, and only that "
            f"program can make it again{f': {why}' if isinstance(why, str) and why else ''}. Hand it over again there: "
            "rewirl.resume(run_dir, env=...), rewirl.load(run_dir).evaluate(env=...). Or register it with Gymnasium "
            "and give its id, and everybody can"
        )
    try:
        recipe = Recipe.from_values(fields(recorded["recipe"], "the recipe of the environment"))
    except KeyError as error:
        raise ValueError(f"the recipe of the environment lacks {error}") from error
    import_named(module)
    registered(recipe.id, module)
    return source_of(recipe, module, made_by)


class _HandedOver:
    """An environment that a program handed over, or one that a function of its made.

    Args:
        env: the environment; it is neither reset nor stepped here.
        factory: the function that made it, and makes others; None where there is none.
        module: the user's own, where wrappers of its may be.
    """

    def __init__(self, env: gymnasium.Env[Any, Any], factory: Callable[[], Any] | None, module: str | None) -> None:
        """Note what it is like now: it changes as soon as it is played."""
        self._env = env
        self._unused = [env]
        self._factory = factory
        self._made: list[weakref.ref[Any]] = []
        self._remember(env)
        self._module = module
        self._recipe = recipe_of(env)
        self._portrait = portrait(env, generators=False)
        try:
            self._spec = env.spec
        except RAISED:
            self._spec = None
        self._task = type(env.unwrapped).__name__ if self._spec is None else self._spec.id

    def source(self) -> EnvironmentSource:
        """Return the source as far as it is known before a spare one was made."""
        name = self._recipe.name if isinstance(self._recipe, Recipe) else self._own_name()
        recipe = self._recipe if isinstance(self._recipe, Recipe) else None
        again = self._make_by_factory if self._factory else None if self._spec is None else self._make_by_spec
        why = "" if isinstance(self._recipe, Recipe) else self._recipe
        return self._source(name, again, recipe, why, examine=self._examined)

    def _examined(self, spare: bool) -> EnvironmentSource:
        """Return the source as it is, certain by a spare environment that was made in the same way."""
        why = self._recipe if isinstance(self._recipe, str) else UNCHECKED
        changes: list[str] = []
        if spare and isinstance(self._recipe, Recipe):
            recipe = self._recipe
            why, changes = self._other_than(lambda: recipe.make(self._module))
            if not why and self._factory is not None:
                why, changes = self._other_than(self._make)
                why = why and f"its function makes another one each time: {why}"
            if not why:
                again = self._make_by_factory if self._factory else self._make_by_recipe
                like = likeness(self._env, self._spec, self._portrait, False)
                return self._source(self._recipe.name, again, self._recipe, like=like)
        like = self._likeness(spare)
        if self._factory is not None:
            return self._source(self._own_name(), self._make_by_factory, why=why, changes=changes, like=like)
        if spare and self._spec is not None:  # this program may know wrappers that nobody else finds
            problem, changes = self._other_than(self._make)
            if not problem:
                return self._source(self._own_name(), self._make_by_spec, why=why, like=like)
            why = why if isinstance(self._recipe, str) and not changes else problem
        return self._source(self._own_name(), None, why=why, changes=changes, like=like)

    def _source(
        self,
        name: str,
        again: Callable[[], Environment] | None,
        recipe: Recipe | None = None,
        why: str = "",
        changes: list[str] | None = None,
        like: Mapping[str, Any] | None = None,
        examine: Callable[[bool], EnvironmentSource] | None = None,
    ) -> EnvironmentSource:
        made_by = "an object" if self._factory is None else "a function"
        changed = tuple(changes or ())
        return EnvironmentSource(
            name, self._training, again, recipe, self._module, self._task, made_by, why, changed, like, examine
        )

    def _likeness(self, spare: bool) -> dict[str, Any]:
        """Return what is known of it, without what playing changes, as far as a spare one could be made to see that."""
        taken = dict(self._portrait)
        steady = spare and self._factory is not None
        inner = None if self._spec is None else dataclasses.replace(self._spec, additional_wrappers=())
        if steady or (spare and inner is not None):
            try:
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")
                    other = self._make() if self._factory else _made_of(inner)
                    with contextlib.closing(other):
                        new = portrait(other, generators=False)
                        changing = {*moving(other, new), *(differing(taken, new) if self._factory else ())}
                taken = {key: value for key, value in taken.items() if key not in changing}
            except RAISED:
                steady = False
        return likeness(self._env, self._spec, taken, steady)

    def _own_name(self) -> str:
        """Return what runs are said to be in that only this program can continue."""
        return self._task if self._spec is None else f"{self._task} ({'function' if self._factory else 'object'})"

    def _training(self) -> Environment:
        if self._factory is None:
            return Environment(self._env, self._task, owned=False)
        return self._make_by_factory()

    def __del__(self) -> None:
        """Close what its function made and nobody has used."""
        for env in self._unused if getattr(self, "_factory", None) is not None else ():
            with contextlib.suppress(*RAISED):
                env.close()

    def _make(self) -> gymnasium.Env[Any, Any]:
        if self._factory is None:
            return _made_of(self._spec)
        env = made_by_function(self._factory)
        if any(made() is env.unwrapped for made in self._made):
            name = getattr(self._factory, "__name__", type(self._factory).__name__)
            raise UnsuitableEnvironmentError(
                f"{name}() returned an environment that it had returned before, and training and evaluation need one "
                "each; let it make a new one whenever it is called"
            )
        self._remember(env)
        return env

    def _remember(self, env: gymnasium.Env[Any, Any]) -> None:
        if self._factory is not None:
            with contextlib.suppress(TypeError):  # not everything can be referred to weakly
                self._made.append(weakref.ref(env.unwrapped))

    def _make_by_factory(self) -> Environment:
        return Environment(self._unused.pop() if self._unused else self._make(), self._task)

    def _make_by_spec(self) -> Environment:
        return Environment(self._make(), self._task)

    def _make_by_recipe(self) -> Environment:
        assert isinstance(self._recipe, Recipe)
        return Environment(self._recipe.make(self._module), self._task)

    def _other_than(self, make: Callable[[], gymnasium.Env[Any, Any]]) -> tuple[str, list[str]]:
        """Return in what this environment differs from a new one, in words, and by name; nothing where it does not.

        What a reset and a step change in the new one is no difference: this one may have been played before.
        """
        try:
            with warnings.catch_warnings():  # they were said when the first one was made
                warnings.simplefilter("ignore")
                spare = make()
        except UnsuitableEnvironmentError as error:
            return f"another one cannot be made: {error}", []
        except RAISED as error:
            return f"making another one raised {type(error).__name__}: {error}", []
        try:
            kinds = [[type(layer).__name__ for layer in layers(env)] for env in (self._env, spare)]
            if kinds[0] != kinds[1]:
                return f"it is {' in '.join(kinds[0])}, another one is {' in '.join(kinds[1])}", []
            new = portrait(spare, generators=False)
            keys = differing(self._portrait, new)
            if keys:
                moved = moving(spare, new)
                keys = [key for key in keys if key not in moved]
        except RAISED as error:
            return f"playing another one raised {type(error).__name__}: {error}", []
        finally:
            with contextlib.suppress(*RAISED):
                spare.close()
        changes = [f"{kind}.{name}" for _, kind, name in keys]
        return (f"{', '.join(changes)} differ from what another one has" if changes else ""), changes


def _made_of(spec: Any) -> gymnasium.Env[Any, Any]:
    """Return what Gymnasium makes of a spec, without its checker.

    Raises:
        UnsuitableEnvironmentError: it cannot be made; says why.
    """
    import gymnasium

    try:
        return gymnasium.make(spec, disable_env_checker=True)
    except RAISED as error:
        raise UnsuitableEnvironmentError(
            f"{spec.id} could not be made another time: {type(error).__name__}: {error}{place_of(error)}"
        ) from error


def made_by_function(function: Callable[[], Any]) -> gymnasium.Env[Any, Any]:
    """Return what a function of the user's makes.

    Raises:
        UnsuitableEnvironmentError: it is no environment, or the function raised an exception.
    """
    import gymnasium

    name = getattr(function, "__name__", type(function).__name__)
    try:
        env = function()
    except RAISED as error:
        raise UnsuitableEnvironmentError(
            f"{name}() must return a gymnasium.Env, it raised {type(error).__name__}: {error}{place_of(error)}"
        ) from error
    if not isinstance(env, gymnasium.Env):
        raise UnsuitableEnvironmentError(f"{name}() must return a gymnasium.Env, it returned {env!r}")
    return env
