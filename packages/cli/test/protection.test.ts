import type { AppOverview } from '@varve/contract';
import { describe, expect, test } from 'vitest';
import { protectionSentence } from '../src/output/protection.ts';

const now = new Date('2026-01-02T12:00:00Z');

function sentence(lastSnapshotAt: string | null): string {
  const failure = { code: 'DATABASE_AUTH_FAILED', message: 'The password is wrong.', hint: null };
  const protection = { level: 'failing', lastSnapshotAt, lastSnapshotPartial: false, failure };
  return protectionSentence({ protection } as AppOverview, now);
}

describe('the sentence of an app whose last run failed', () => {
  test('says when the last good snapshot was', () => {
    expect(sentence('2026-01-02T10:00:00Z')).toBe(
      'Failing: The password is wrong; the last good snapshot was 2 hours ago.',
    );
  });

  test('says that there is none yet', () => {
    expect(sentence(null)).toBe('Failing: The password is wrong; there is no good snapshot yet.');
  });
});
