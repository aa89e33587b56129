import type { Timeline } from '@varve/contract';
import { expect, test } from 'vitest';
import type { TextOutput } from '../src/io.ts';
import { timelineLines } from '../src/output/timeline.ts';
import { absoluteTime } from '../src/output/time.ts';

const output = { isTerminal: false, columns: 80, colors: false } as TextOutput;
const now = new Date('2026-11-20T16:00:00Z');
const place = { systemId: '7', timeline: 1, branch: 'current' } as const;
const at = (time: string): string => `2026-11-20T${time}:00Z`;

const timeline: Timeline = {
  appId: 'shop',
  readAt: at('15:59'),
  snapshots: [
    { id: 'a'.repeat(64), time: at('10:00'), kind: 'scheduled', name: null, partial: false, bases: ['db'] },
    { id: 'b'.repeat(64), time: at('14:00'), kind: 'manual', name: null, partial: false, bases: [] },
  ],
  databases: [
    {
      component: 'db',
      captured: true,
      systemId: '7',
      timeline: 1,
      ranges: [
        {
          ...place,
          baseSnapshotId: 'a'.repeat(64),
          fromLsn: '0/3000000',
          toLsn: '0/4000000',
          fromAt: at('10:00'),
          toAt: at('12:00'),
          firstCommitAt: at('10:00'),
          lastCommitAt: at('12:00'),
          commits: 1200,
          clockSteps: [],
        },
      ],
      gaps: [
        {
          ...place,
          reason: 'slot-lost',
          message: null,
          fromLsn: '0/4000000',
          toLsn: '0/8000000',
          fromAt: at('12:00'),
          toAt: at('13:00'),
          detectedAt: at('13:00'),
          healedAt: null,
        },
      ],
      unreachable: [
        {
          ...place,
          reason: 'behind-gap',
          hasEnded: false,
          fromLsn: '0/8000000',
          toLsn: '0/9000000',
          fromAt: at('13:00'),
          toAt: at('16:00'),
        },
      ],
      points: [{ ...place, name: 'before\nimport', lsn: '0/3500000', at: at('11:00'), reachable: true }],
      restarts: [],
      branches: [],
      damaged: [],
      nearest: { at: at('12:30'), reachable: false, before: at('12:00'), after: null },
    },
  ],
};

test('a timeline says what is reachable, what is missing and why, and what is nearest', () => {
  const text = timelineLines(timeline, { now, output }).join('\n');
  const time = (clock: string): string => absoluteTime(at(clock));
  expect(text).toContain(`${time('12:30')} cannot be reached; the nearest are before it ${time('12:00')}.`);
  const rows = text.split('\n');
  expect(rows.find((row) => row.includes('any moment'))).toMatch(
    new RegExp(`^${time('10:00')}  ${time('12:00')} +2 h 0 min +any moment +1,200 commits$`),
  );
  expect(rows.find((row) => row.includes('  gap'))).toContain('the server had given up the replication slot');
  expect(rows.find((row) => row.includes('not reachable'))).toContain('a base backup is still to come');
  expect(rows.find((row) => row.startsWith('before'))).toContain('before\\x0aimport');
  const bar = rows.find((row) => row.includes('█')) ?? '';
  expect(bar.trim()).toMatch(/^█{23,24}▓?×{12,14}░{35,37}$/);
  expect(text).toContain('2 snapshots, the newest 2 hours ago');
});

test('an app without captured databases has its snapshots', () => {
  const text = timelineLines({ ...timeline, databases: [] }, { now, output }).join('\n');
  expect(text).toContain('No database of this app is captured');
});
