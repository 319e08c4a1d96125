"""How template fields are rendered. Ids and texts for people are always text, even if the DAG uses native types.

Airflow's own rules, and where this provider differs from them:

* With ``render_template_as_native_obj``, Jinja turns ``"1_2_3"`` into the number 123. Here, a text field stays text.
* Airflow also renders constants, and Jinja removes their last newline. Here, a text without a template is not changed.
* Values that ``expand`` takes from upstream tasks are not rendered. This stays so: upstream data contains no templates.
  Airflow renders what ``expand_kwargs`` takes from them, and takes a ``None`` there as "not given". Here, it does not.
* Airflow 3.0 to 3.2 do not call callables, and keep the template if it renders to nothing. Both are corrected here.
* If the DAG file gives an argument and it renders to nothing, this is noted here. It never counts as "not given".
"""

from __future__ import annotations

from collections import ChainMap
from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar

from airflow_provider_passnotify.arguments import check_stable, checked

if TYPE_CHECKING:
    import jinja2


class TextFields:
    """Renders the template fields of an operator, a sensor or a notifier. Put it before Airflow's class in the bases.

    After rendering, :meth:`check_given` refuses arguments that rendered to nothing.
    """

    template_fields: Any
    render_template: Any  # Airflow's
    text_fields: ClassVar[frozenset[str]] = frozenset()
    """The template fields that are text."""
    never_none: ClassVar[frozenset[str]] = frozenset()
    """Arguments that are not template fields, and must not be ``None`` if ``expand`` gives them."""
    may_be_empty: ClassVar[frozenset[str]] = frozenset()
    """Fields that may render to nothing. For example, an empty label means "no label"."""

    _came_to_nothing: Mapping[str, Any] = MappingProxyType({})

    @classmethod
    def partial(cls, *, task_id: str, **kwargs: Any) -> Any:
        """Begin a mapped operator, like Airflow's own ``partial``.

        :raises InvalidNotificationError: if an argument looks different each time the DAG is parsed.
        """
        checked(lambda: check_stable(kwargs), f"Task {task_id!r}: ")
        return super().partial(task_id=task_id, **kwargs)  # type: ignore[misc]

    def check_given(self) -> None:
        """Refuse an argument that was given but rendered to nothing.

        :raises ValueError: it names the argument.
        """
        for name, value in self._came_to_nothing.items():
            raise ValueError(
                f"{name} came to nothing ({value!r:.20}) when the task started. It was given, so it is not taken as "
                "not given. What you can do: look at where it comes from (an XCom of a task that returned nothing or "
                "was skipped, an empty variable); leave the argument out where there is nothing to say."
            )

    def _do_render_template_fields(
        self,
        parent: Any,
        template_fields: Iterable[str],
        context: Mapping[str, Any],
        jinja_env: jinja2.Environment,
        seen_oids: set[int],
        **more: Any,
    ) -> None:
        if parent is not self:  # an object in a field, which has its own template fields
            super()._do_render_template_fields(parent, template_fields, context, jinja_env, seen_oids, **more)  # type: ignore[misc]
            return
        must_be_given = {*self.template_fields, *self.never_none} - self.may_be_empty
        nothing: dict[str, Any] = {}
        if id(None) in seen_oids:  # ``expand`` gave at least one None; Airflow knows which arguments were given
            given_arguments = getattr(self, "_BaseOperator__init_kwargs", {})
            names = {name for name, value in given_arguments.items() if value is None}
            nothing = dict.fromkeys(sorted(names & must_be_given))
        upstream = _from_upstream(self, context)
        nothing.update((name, None) for name in sorted(upstream & must_be_given) if getattr(self, name) is None)
        text_env = None
        for name in template_fields:
            given = getattr(self, name)
            if given is None or name in upstream:
                continue
            if callable(given):
                rendered = given(context=context, jinja_env=jinja_env)
            elif name in self.text_fields:
                text_env = text_env or self._text_env(context, jinja_env)
                rendered = self._render_text(given, context, text_env, seen_oids)
            else:
                rendered = self.render_template(given, context, jinja_env, seen_oids)
            setattr(self, name, rendered)
            is_nothing = rendered is None or (isinstance(rendered, str) and rendered.strip() in {"", "None"})
            if is_nothing and rendered is not given and name not in self.may_be_empty:
                nothing[name] = rendered
        self._came_to_nothing = nothing

    def _render_text(self, given: Any, context: Mapping[str, Any], env: jinja2.Environment, seen_oids: set[int]) -> Any:
        if not isinstance(given, str):
            return self.render_template(given, context, env, seen_oids)
        if id(given) in seen_oids or all(kind == "data" for _, kind, _ in env.lex(given)):
            return given
        template = env.from_string(given)
        # Not template.render(), because it copies the context. On Airflow 2, a copy resolves everything in the context.
        variables = template.new_context(ChainMap(context, template.globals), shared=True)  # type: ignore[arg-type]
        return "".join(template.root_render_func(variables))

    def _text_env(self, context: Mapping[str, Any], jinja_env: jinja2.Environment) -> jinja2.Environment:
        """Return the DAG's environment without native types."""
        from jinja2.nativetypes import NativeEnvironment
        from jinja2.sandbox import SandboxedEnvironment

        if not isinstance(jinja_env, NativeEnvironment):
            return jinja_env
        dag = context.get("dag")
        if dag is not None:
            env: jinja2.Environment = dag.get_template_env(force_sandboxed=True)
            return env
        env = SandboxedEnvironment(undefined=jinja_env.undefined)
        env.filters.update(jinja_env.filters)
        env.globals.update(jinja_env.globals)
        return env


def _from_upstream(operator: Any, context: Mapping[str, Any]) -> set[str]:
    """Return the arguments that ``expand_kwargs`` took from other tasks. Airflow's ``seen_oids`` do not have them."""
    mapped: Any = getattr(context.get("dag"), "task_dict", {}).get(getattr(operator, "task_id", None))
    rows = getattr(getattr(mapped, "expand_input", None), "value", None)
    if isinstance(rows, Sequence):
        rows = rows[context["ti"].map_index]
    if rows is None or isinstance(rows, Mapping):  # it is not mapped, or by ``expand``, or the DAG file has this row
        return set()
    given: Mapping[str, Any] = getattr(operator, "_BaseOperator__init_kwargs", {})
    return {*given} - {*mapped.partial_kwargs}
