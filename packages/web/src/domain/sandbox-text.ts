// What is said about a sandbox: how it stands, what it holds, where it is.

import type { Sandbox } from '@varve/contract';
import type { Sentence, Wording } from './protection.ts';

const lights = { making: 'idle', paused: 'warning', running: 'ok', stopped: 'idle' } as const;

/** `Running · everything committed until … is in it`. */
export function sandboxSentence({ state, stoppedAt, createdAt }: Sandbox, { t, format }: Wording): Sentence {
  const made = t('sandbox.made', { time: format.dateTime(createdAt) });
  const until = stoppedAt?.lastCommitAt ?? null;
  const text = until === null ? made : `${t('sandbox.until', { time: format.moment(until) })} · ${made}`;
  return { light: lights[state], state: t(`sandbox.state.${state}`), text };
}

/** What removing it deletes, as names that an administrator knows. */
export function sandboxPlaces({ folder, container, volume }: Sandbox): string[] {
  return [folder, container, volume === container ? null : volume].filter((place) => place !== null);
}
