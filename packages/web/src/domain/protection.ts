// The one sentence about an app and the one about the installation, made from facts, in the reader's language.

import type { AppOverview, Protection, RepositoryInfo } from '@varve/contract';
import type { Format } from '../i18n/format.ts';
import type { Translate } from '../i18n/messages.ts';
import type { Language } from '../i18n/translate.ts';
import { problemTitle } from './problem-text.ts';

/** What a state light shows; colour, icon and word go together. */
export type Light = 'ok' | 'warning' | 'bad' | 'idle';

export interface Sentence {
  readonly light: Light;
  /** One or two words: the state. */
  readonly state: string;
  /** The facts behind it. */
  readonly text: string;
}

export interface Wording {
  readonly t: Translate;
  readonly format: Format;
  readonly language: Language;
  /** Milliseconds since 1970. */
  readonly now: number;
}

/** How well an app is protected, with the newest snapshot and the next run. */
export function protectionSentence(protection: Protection, alertAfterHours: number, wording: Wording): Sentence {
  const { t } = wording;
  switch (protection.level) {
    case 'never':
      return {
        light: 'idle',
        state: t('protection.never'),
        text: withNext(t('protection.neverText'), protection, wording),
      };
    case 'failing':
      return { light: 'bad', state: t('protection.failing'), text: failingText(protection, wording) };
    case 'late': {
      const text = t('protection.lateText', {
        ago: agoText(protection.lastSnapshotAt, wording),
        limit: wording.format.duration(alertAfterHours * 3_600_000),
      });
      return { light: 'warning', state: t('protection.late'), text: withNext(text, protection, wording) };
    }
    case 'protected': {
      const parameters = { ago: agoText(protection.lastSnapshotAt, wording) };
      if (protection.lastSnapshotPartial) {
        const text = withNext(t('protection.partialText', parameters), protection, wording);
        return { light: 'warning', state: t('protection.partial'), text };
      }
      const text = withNext(t('protection.protectedText', parameters), protection, wording);
      return { light: 'ok', state: t('protection.protected'), text };
    }
  }
}

function failingText(protection: Protection, wording: Wording): string {
  const { t, format, now } = wording;
  const reason = trimEnd(reasonOf(protection, wording));
  if (protection.lastSnapshotAt === null) return t('protection.failingNeverText', { reason });
  return t('protection.failingText', { reason, ago: format.relative(protection.lastSnapshotAt, now) });
}

/** The server's own words, which are English; in another language what its code means. */
function reasonOf({ failure }: Protection, { t, language }: Wording): string {
  if (failure === null) return t('protection.noReason');
  return language === 'en' ? failure.message : problemTitle(failure.code, t);
}

function withNext(text: string, protection: Protection, { t, format, now }: Wording): string {
  if (protection.nextRunAt === null) return t('protection.noNext', { text });
  return t('protection.withNext', { text, next: format.when(protection.nextRunAt, now) });
}

function agoText(time: string | null, { format, now }: Wording): string {
  return time === null ? '—' : format.relative(time, now);
}

function trimEnd(message: string): string {
  return message.replace(/[.\s]+$/, '');
}

export interface Hero {
  readonly light: Light;
  readonly title: string;
  readonly text: string;
}

/** Whether an app asks for somebody's attention: anything but a whole, recent snapshot or a first one still to come. */
export function needsAttention({ protection }: AppOverview): boolean {
  if (protection.level === 'never') return protection.nextRunAt === null;
  return protection.level !== 'protected' || protection.lastSnapshotPartial;
}

/** The sentence about the whole installation. */
export function heroSentence(
  overviews: readonly AppOverview[],
  repository: RepositoryInfo | null,
  wording: Wording,
): Hero {
  const { t } = wording;
  if (overviews.length === 0) return { light: 'idle', title: t('hero.none'), text: t('hero.noneText') };
  if (repository !== null && repository.state !== 'ready') {
    const title = repository.state === 'unreachable' ? t('hero.repositoryUnreachable') : t('hero.repositoryDamaged');
    return { light: 'bad', title, text: repository.problem ?? repository.location };
  }
  const text = installationFacts(overviews, wording);
  const attention = overviews.filter(needsAttention);
  if (attention.length > 0) {
    const failing = attention.some(({ protection }) => protection.level === 'failing');
    return { light: failing ? 'bad' : 'warning', title: t('hero.attention', { count: attention.length }), text };
  }
  if (overviews.some(({ protection }) => protection.level === 'never')) {
    return { light: 'idle', title: t('hero.waiting'), text };
  }
  return { light: 'ok', title: t('hero.allProtected'), text };
}

function installationFacts(overviews: readonly AppOverview[], { t, format, now }: Wording): string {
  const last = newest(overviews.map(({ protection }) => protection.lastSnapshotAt));
  const next = newest(
    overviews.map(({ protection }) => protection.nextRunAt),
    'earliest',
  );
  const parts = [t('hero.apps', { count: overviews.length })];
  if (last !== null) parts.push(t('hero.last', { ago: format.relative(last, now) }));
  if (next !== null) parts.push(t('hero.next', { next: format.when(next, now) }));
  return parts.join(' · ');
}

function newest(times: readonly (string | null)[], which: 'newest' | 'earliest' = 'newest'): string | null {
  const known = times.filter((time) => time !== null).toSorted((a, b) => Date.parse(a) - Date.parse(b));
  return (which === 'newest' ? known.at(-1) : known[0]) ?? null;
}
