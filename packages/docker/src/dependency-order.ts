// In which order containers start and stop: a container starts after what it depends on and stops before it. Pure;
// independent containers keep the order of their names, so that the same app always gives the same plan.

import type { Container } from './container.ts';

type Orderable = Pick<Container, 'id' | 'name' | 'service' | 'dependsOn' | 'networkMode'>;

export interface DependencyOrder<T extends Orderable> {
  readonly order: readonly T[];
  /** Services that depend on each other in a circle, by name; ordered by name, since no order serves them all. */
  readonly cycles: readonly (readonly string[])[];
}

/** Dependencies first. What a container depends on and is not among `containers` is ignored. */
export function startOrder<T extends Orderable>(containers: readonly T[]): DependencyOrder<T> {
  const byName = [...containers].sort((a, b) => compareText(a.service, b.service) || compareText(a.name, b.name));
  const needs = new Map(byName.map((container) => [container, dependenciesOf(container, byName)]));
  const order: T[] = [];
  const cycles: string[][] = [];
  const open = new Set(byName);
  while (open.size > 0) {
    const ready = [...open].filter((container) =>
      [...(needs.get(container) ?? [])].every((needed) => !open.has(needed)),
    );
    const next = ready.length > 0 ? ready : breakCycle(open, needs, cycles);
    for (const container of next) {
      open.delete(container);
      order.push(container);
    }
  }
  return { order, cycles };
}

/** Dependents first: the exact reverse of {@link startOrder}. */
export function stopOrder<T extends Orderable>(containers: readonly T[]): DependencyOrder<T> {
  const { order, cycles } = startOrder(containers);
  return { order: [...order].reverse(), cycles };
}

function dependenciesOf<T extends Orderable>(container: T, all: readonly T[]): ReadonlySet<T> {
  const services = new Set(container.dependsOn.map((dependency) => dependency.service));
  const [kind, target] = splitOnce(container.networkMode);
  return new Set(
    all.filter((other) => {
      if (other === container) return false;
      // A second container of the same service (scale) is no dependency of the first.
      if (services.has(other.service) && other.service !== container.service) return true;
      if (kind === 'container') return target !== '' && (other.id === target || other.name === target);
      return kind === 'service' && other.service === target;
    }),
  );
}

/** Picks one circle out of what is left, records it and yields its members in the order of their names. */
function breakCycle<T extends Orderable>(
  open: ReadonlySet<T>,
  needs: ReadonlyMap<T, ReadonlySet<T>>,
  cycles: string[][],
): readonly T[] {
  const path: T[] = [];
  let current = [...open][0];
  while (current !== undefined && !path.includes(current)) {
    path.push(current);
    current = [...(needs.get(current) ?? [])].find((needed) => open.has(needed));
  }
  const circle = current === undefined ? path : path.slice(path.indexOf(current));
  const members = [...open].filter((container) => circle.includes(container));
  cycles.push([...new Set(members.map((container) => container.service))]);
  return members;
}

function splitOnce(text: string): readonly [string, string] {
  const cut = text.indexOf(':');
  return cut === -1 ? [text, ''] : [text.slice(0, cut), text.slice(cut + 1)];
}

function compareText(a: string, b: string): number {
  if (a === b) return 0;
  return a < b ? -1 : 1;
}
