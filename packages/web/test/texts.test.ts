// Texts: both languages complete, with the same placeholders; numbers, sizes and times as people write them.

import { describe, expect, test } from 'vitest';
import { createFormat } from '../src/i18n/format.ts';
import type { Message } from '../src/i18n/messages.ts';
import { createTranslate, languages, localeFor, messagesByLanguage, preferredLanguage } from '../src/i18n/translate.ts';
import { describeProblem } from '../src/domain/problem-text.ts';

const english: Readonly<Record<string, Message>> = messagesByLanguage.en;

/** No-break spaces as spaces. */
function plain(text: string): string {
  return text.replaceAll('\u00a0', ' ');
}

function forms(message: Message | undefined): string[] {
  if (message === undefined) return [];
  return typeof message === 'string' ? [message] : [message.one, message.other];
}

function placeholders(text: string): string[] {
  return [...text.matchAll(/\{(\w+)\}/g)].map(([, name]) => name ?? '').toSorted();
}

/** Names, symbols and words that Spanish shares. */
const sameInBoth: ReadonlySet<string> = new Set([
  'app.name',
  'apps.kindDocker',
  'apps.none',
  'email.security.starttls',
  'email.security.tls',
  'kind.manual',
  'snapshot.commit',
  'snapshot.server',
  'alert.of',
  'add.odoo',
  'doctor.check.node',
  'doctor.check.docker',
  'doctor.check.git',
  'time.utc',
]);

describe('texts', () => {
  for (const { code } of languages) {
    const messages: Readonly<Record<string, Message>> = messagesByLanguage[code];

    test(`${code} has every key of English and no other`, () => {
      expect(Object.keys(messages).toSorted()).toEqual(Object.keys(english).toSorted());
    });

    test(`${code} has no empty text`, () => {
      expect(Object.keys(messages).filter((key) => forms(messages[key]).some((text) => text.trim() === ''))).toEqual(
        [],
      );
    });

    test(`${code} uses the placeholders of English in every text`, () => {
      const different = Object.keys(english).filter((key) => {
        const [wanted] = forms(english[key]).slice(-1).map(placeholders);
        return forms(messages[key]).some((text) => {
          // "Every hour" needs no number: a singular may leave the count out.
          const found = placeholders(text);
          return found.join() !== wanted?.join() && [...found, 'count'].toSorted().join() !== wanted?.join();
        });
      });
      expect(different).toEqual([]);
    });
  }

  test('Spanish is translated: only names and symbols are as in English', () => {
    const spanish: Readonly<Record<string, Message>> = messagesByLanguage.es;
    const same = Object.keys(english).filter((key) => forms(english[key]).join() === forms(spanish[key]).join());
    expect(same.filter((key) => !sameInBoth.has(key))).toEqual([]);
  });

  test('plurals follow the language and numbers are written in it', () => {
    const t = createTranslate('es', 'es-ES');
    expect(t('apps.snapshots', { count: 1 })).toBe('1 instantánea');
    expect(t('apps.snapshots', { count: 12_345 })).toBe('12.345 instantáneas');
    expect(createTranslate('en', 'en-GB')('schedule.hours', { count: 1 })).toBe('Every hour');
  });

  test('the browser chooses the language and its region', () => {
    expect(preferredLanguage(['fr-FR', 'es-MX', 'en'])).toBe('es');
    expect(preferredLanguage(['fr'])).toBe('en');
    expect(localeFor('es', ['en-US', 'es-MX'])).toBe('es-MX');
    expect(localeFor('en', ['es-MX'])).toBe('en');
  });
});

describe('formats', () => {
  const t = createTranslate('en', 'en-GB');
  const format = createFormat({ locale: 'en-GB', timeZone: 'Europe/Madrid', t });
  const spanish = createFormat({ locale: 'es-ES', timeZone: 'Europe/Madrid', t: createTranslate('es', 'es-ES') });
  const now = Date.parse('2026-11-23T12:00:00Z');

  test('sizes have one decimal below 100 and the units of powers of 1024', () => {
    expect([0, 1023, 1024, 1536, 102_400, 5_000_000_000].map((bytes) => plain(format.bytes(bytes)))).toEqual([
      '0 B',
      '1,023 B',
      '1 KiB',
      '1.5 KiB',
      '100 KiB',
      '4.7 GiB',
    ]);
    expect(spanish.bytes(1536)).toBe('1,5\u00a0KiB');
  });

  test('durations have at most two units', () => {
    expect([0, 1500, 59_400, 60_000, 65_000, 3_725_000, 200_000_000].map((ms) => plain(format.duration(ms)))).toEqual([
      '0 s',
      '1.5 s',
      '59 s',
      '1 min',
      '1 min 5 s',
      '1 h 2 min',
      '2 d 7 h',
    ]);
  });

  test('relative times never say zero units and speak both directions', () => {
    const ago = (ms: number): string => format.relative(now - ms, now);
    expect([5_000, 50_000, 12 * 60_000, 26 * 3_600_000, 3 * 86_400_000].map(ago)).toEqual([
      'just now',
      '1 minute ago',
      '12 minutes ago',
      '26 hours ago',
      '3 days ago',
    ]);
    expect(format.relative(now + 3 * 3_600_000, now)).toBe('in 3 hours');
    expect(spanish.relative(now - 12 * 60_000, now)).toBe('hace 12 minutos');
  });

  test('what is about to happen is a time today, "tomorrow at", else a date, in the zone of the reader', () => {
    expect(format.when('2026-11-23T15:00:00Z', now)).toBe('16:00');
    expect(format.when('2026-11-23T23:30:00Z', now)).toBe('tomorrow at 00:30');
    expect(format.when('2026-11-26T15:00:00Z', now)).toContain('26 Nov');
  });
});

describe('problems', () => {
  test('are titled by code, else by the area of the code, and keep the words of the server', () => {
    const t = createTranslate('es', 'es');
    const problem = { code: 'APP_BUSY', message: 'Shop is busy.', hint: 'Wait.' };
    expect(describeProblem(problem, t, 'es')).toEqual({
      title: 'La aplicación está ocupada con otra tarea',
      detail: 'Shop is busy.',
      hint: 'Espere a que termine la tarea o cancélela.',
      code: 'APP_BUSY',
    });
    expect(describeProblem({ ...problem, code: 'STORAGE_DENIED' }, t, 'es').title).toBe(
      'No se puede usar el almacenamiento',
    );
    expect(describeProblem(problem, createTranslate('en', 'en'), 'en').hint).toBe('Wait.');
    expect(describeProblem(new Error('odd'), t, 'es')).toMatchObject({ detail: 'odd', code: null });
  });
});
