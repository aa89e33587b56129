import { describe, expect, test } from 'vitest';
import { createLogger } from '../src/index.ts';

function captured(forPeople: boolean): { lines: string[]; logger: ReturnType<typeof createLogger> } {
  const lines: string[] = [];
  return { lines, logger: createLogger({ level: 'info', forPeople, write: (line) => lines.push(line) }) };
}

describe('the log', () => {
  test.each([true, false])('hides secrets by name and in URLs (for people: %s)', (forPeople) => {
    const { lines, logger } = captured(forPeople);
    logger.info('connecting to postgres://shop:hunter2@db/shop', {
      password: 'hunter2',
      settings: { token: 'hunter2' },
      url: 'hunter2',
    });
    expect(lines).toHaveLength(1);
    expect(lines[0]).not.toContain('hunter2');
    expect(lines[0]).toContain('[redacted]');
  });

  test('is JSON lines for programs and leaves out what is below its level', () => {
    const { lines, logger } = captured(false);
    logger.debug('no');
    logger.warn('yes', { count: 3 });
    expect(lines.map((line) => JSON.parse(line) as unknown)).toEqual([
      { level: 'warn', time: expect.stringMatching(/^\d{4}-/), count: 3, msg: 'yes' },
    ]);
  });
});
