// Input against the contract's schemas, with the first fault told in words.

import { AppError } from '@varve/base';

interface Issue {
  readonly path: readonly PropertyKey[];
  readonly message: string;
}

interface Schema<Output> {
  safeParse(
    input: unknown,
  ): { success: true; data: Output } | { success: false; error: { readonly issues: readonly Issue[] } };
}

/** The parsed input; USAGE_INVALID that names every fault otherwise. */
export function parseInput<Output>(schema: Schema<Output>, input: unknown): Output {
  const result = schema.safeParse(input);
  if (result.success) return result.data;
  const faults = result.error.issues.map(({ path, message }) =>
    path.length === 0 ? message : `${path.map(String).join('.')}: ${message}`,
  );
  throw new AppError('USAGE_INVALID', faults.join('; '), { hint: 'Add --help to see what the command understands.' });
}
