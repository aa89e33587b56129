import { readFile } from 'node:fs/promises';
import { errorCodes } from '@varve/base';
import { describe, expect, test } from 'vitest';

const page = await readFile(new URL('../../../docs/errors.md', import.meta.url), 'utf8');

describe('docs/errors.md', () => {
  test('lists every error code with its exit code and HTTP status, and what to do', () => {
    const rows = [...page.matchAll(/^\| ([A-Z_]+) \| (\d+) \| (\d+) \| (.+) \|$/gm)].map(
      ([, code, exit, http, advice]) =>
        [code, { exit: Number(exit), http: Number(http) }, (advice ?? '').length > 10] as const,
    );
    expect(rows.map(([code, facts]) => [code, facts])).toEqual(Object.entries(errorCodes));
    expect(rows.filter(([, , hasAdvice]) => !hasAdvice)).toEqual([]);
  });

  test('explains every exit code that the table uses', () => {
    const explained = [...page.matchAll(/^\| (\d+) \| /gm)].map(([, exit]) => Number(exit));
    for (const { exit } of Object.values(errorCodes)) expect(explained).toContain(exit);
  });
});
