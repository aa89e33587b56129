// How well an app is protected, in one sentence.

import type { AppOverview } from '@varve/contract';
import { relativeTime } from './time.ts';

export function protectionSentence({ app, protection }: AppOverview, now: Date): string {
  const { level, lastSnapshotAt, lastSnapshotPartial, failure } = protection;
  const last = lastSnapshotAt === null ? 'never' : relativeTime(lastSnapshotAt, now);
  const partial = lastSnapshotPartial ? ', which misses files that could not be read' : '';
  switch (level) {
    case 'protected':
      return `Protected: the last snapshot was ${last}${partial}.`;
    case 'late':
      return `Late: the last snapshot was ${last}${partial}, the limit is ${app.policy.alertAfterHours} h.`;
    case 'failing': {
      const reason = (failure?.message ?? 'the last run failed').replace(/\.$/, '');
      const good = lastSnapshotAt === null ? 'there is no good snapshot yet' : `the last good snapshot was ${last}`;
      return `Failing: ${reason}; ${good}.`;
    }
    case 'never':
      return 'Not protected yet: there is no snapshot.';
  }
}
