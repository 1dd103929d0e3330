"""Types of attributes: of modules, classes, instances, collections and what comes from outside."""

from dataclasses import dataclass
from typing import Any

from loopclinic.scanner.facts.values import FINITE
from loopclinic.scanner.functions import Functions
from loopclinic.scanner.project import Project, Type, Types, instance_of, joined
from loopclinic.scanner.types.returned_types import ReturnedTypes


@dataclass(frozen=True, slots=True)
class Attributes:
    """Evaluates attributes."""

    project: Project
    functions: Functions
    returns: ReturnedTypes

    def result(self, file: int, value: Any) -> Types:
        """Return what the value of an attribute may be."""
        bases = self.project.evaluate(file, value[1])
        return joined(self._attribute(file, one, value[2]) for one in bases)[: 2 * FINITE]

    def _attribute(self, file: int, base: Type, name: str) -> Types:
        """Return what `.name` of a type is."""
        tag = base[0]
        if tag == "M":
            found = self.project.name(base[1], name, outside=True)
            if found:
                return found
            parts = (*self.project.modules.parts[base[1]], name)
            one = self.project.modules.exact(parts)
            return (("M", one),) if self.project.has(one) else ()
        if tag == "X":
            return (self.project.imported(file, f"{base[1]}.{name}"),)
        if tag == "O":
            return self._outside(base, name)
        if tag == "Z":
            return (("Z", base[1], (*base[2], name)),)
        if tag in ("I", "C", "super"):
            return self._member_of(base, name)
        if tag == "D":
            if name in ("get", "pop", "setdefault"):
                return (("V", base[1]),)
            if name == "values":
                return (("V", (("R", base[1]),)),)
            if name == "items":
                return (("V", (("R", (("T", ((), base[1])),)),)),)
        elif tag == "R" and name in ("pop", "popleft", "get"):
            return (("V", base[1]),)
        elif tag == "P" and name == "func":
            return base[1]  # type: ignore[no-any-return]
        return ()

    def _outside(self, base: Type, name: str) -> Types:
        entry = self.project.catalogue.cls(base[1])
        if name in entry.attributes:
            return instance_of(entry.attributes[name])
        if (
            (entry.deep or entry.deep_awaits)
            and name not in entry.deep_async_names
            and name not in entry.unless
        ):
            return (("Z", base[1], (name,)),)
        if entry.any_attribute and entry.leaf(name) is None and name not in entry.returns:
            return instance_of(entry.any_attribute)
        return (("OM", base[1], name, base[2]),)

    def _member_of(self, base: Type, name: str) -> Types:
        """Return what `.name` is on an instance, a class or super() of the project."""
        tag, file, cls = base[:3]
        member = self.project.member(file, cls, name, above=tag == "super")
        if member is None and tag == "I":
            children = self.project.children(file, cls)
            members = (self.project.member(*child, name) for child in children)
            found = [one for one in members if one is not None]
            colors = {
                self.project.function(one[1], one[3]).is_async
                for one in found
                if one[0] == "method"
            }
            member = found[0] if found and len(colors) < 2 else None  # else this may be either form
        if member is None:
            for path in self.project.outside(file, cls):
                if path in self.project.catalogue.classes:
                    attributes = self.project.catalogue.cls(path).attributes
                    if name in attributes:
                        # A manager of rows: what it gives is of this class.
                        return (("O", attributes[name], ("I", file, cls)),)
                    outside = ("O", path, False) if tag != "C" else ("X", path)
                    return self._attribute(file, outside, name)
            return ()
        how, where, _, found = member
        if how == "attribute":
            types = self.project.evaluate_all(where, found[:FINITE])
            if self.project.any_protocol(types):
                types += self.functions.field(file, cls, name)
            return types
        function = self.project.function(where, found)
        if function.is_property:
            return self.returns.returned(where, found)
        if "static" in function.traits or (tag == "C" and "class" not in function.traits):
            return (("F", where, found),)
        return (("B", where, found, file, cls),)
