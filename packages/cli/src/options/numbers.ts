// Numbers and durations given as options.

import { InvalidArgumentError } from 'commander';

/** A parser of whole numbers within limits. */
export function wholeNumber(limits: { readonly min: number; readonly max: number }): (text: string) => number {
  return (text) => {
    const value = /^\d+$/.test(text) ? Number(text) : Number.NaN;
    if (value >= limits.min && value <= limits.max) return value;
    throw new InvalidArgumentError(`It must be a whole number from ${limits.min} to ${limits.max}.`);
  };
}

/** Collects an option that may be given several times. */
export function collect(value: string, previous: readonly string[] = []): string[] {
  return [...previous, value];
}

const durationUnitMs = { s: 1000, m: 60_000, h: 3_600_000 } as const;

/** Parses durations such as `90s`, `5m`, `1h30m` into milliseconds. */
export function duration(text: string): number {
  const parts = [...text.matchAll(/(\d+)([smh])/g)];
  if (parts.length === 0 || parts.map(([part]) => part).join('') !== text) {
    throw new InvalidArgumentError('It must be a duration such as 30s, 5m or 1h30m.');
  }
  return parts.reduce((sum, [, count, unit]) => sum + Number(count) * durationUnitMs[unit as 's' | 'm' | 'h'], 0);
}

const unitBytes = { k: 1024, m: 1024 ** 2, g: 1024 ** 3, t: 1024 ** 4 } as const;

/** `500`, `10k`, `1.5G` (powers of 1024) in bytes. */
export function byteSize(text: string): number {
  const [, number, unit] = /^(\d+(?:\.\d+)?)([kmgt])?b?$/i.exec(text) ?? [];
  if (number === undefined) throw new InvalidArgumentError('It must be a size such as 500000, 10k, 5M or 1G.');
  return Math.floor(Number(number) * (unit ? unitBytes[unit.toLowerCase() as keyof typeof unitBytes] : 1));
}
