// Numbers given as options.

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
