// JSON columns, checked when they are read: a value that does not fit its schema is a damaged catalogue, not a crash later.

import { AppError } from '@varve/base';

/** What the contract's schemas are here. */
interface Parser<T> {
  parse(value: unknown): T;
}

/** Parses and checks a JSON column. CATALOGUE_UNUSABLE names the place when the value is not what it should be. */
export function readJson<T>(schema: Parser<T>, text: string, place: string): T {
  try {
    return schema.parse(JSON.parse(text));
  } catch (error) {
    throw new AppError('CATALOGUE_UNUSABLE', `The catalogue holds something unreadable: ${place}.`, {
      hint: 'Run `varve doctor`; when the catalogue is damaged, move it aside and start Varve again to rebuild it.',
      context: { place },
      cause: error,
    });
  }
}
