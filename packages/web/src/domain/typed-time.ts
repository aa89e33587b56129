// A moment as it is typed, `2026-11-23T14:05:06`, in a time zone, and back. Pure.

/** The text of a `datetime-local` field with seconds, in a zone. */
export function typedText(at: number, timeZone: string): string {
  const parts = new Intl.DateTimeFormat('en-CA', {
    timeZone,
    year: 'numeric',
    month: '2-digit',
    day: '2-digit',
    hour: '2-digit',
    minute: '2-digit',
    second: '2-digit',
    hourCycle: 'h23',
  }).formatToParts(at);
  const part = (type: Intl.DateTimeFormatPartTypes): string => parts.find((one) => one.type === type)?.value ?? '';
  return `${part('year')}-${part('month')}-${part('day')}T${part('hour')}:${part('minute')}:${part('second')}`;
}

/**
 * The moment that a text means in a zone; the earlier one where the clock shows it twice; undefined when it is no time, or one that
 * the zone leaves out.
 */
export function momentOf(text: string, timeZone: string): number | undefined {
  const match = /^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}(:\d{2})?/.exec(text);
  if (!match) return undefined;
  const wanted = match[1] === undefined ? `${match[0]}:00` : match[0];
  const asUtc = Date.parse(`${wanted}Z`);
  if (Number.isNaN(asUtc)) return undefined;
  // The offset at that moment is one of those a day around it.
  const offsets = [-86_400_000, 0, 86_400_000].map((shift) => offsetAt(asUtc + shift, timeZone));
  const candidates = [...new Set(offsets)].map((offset) => asUtc - offset).toSorted((a, b) => a - b);
  return candidates.find((at) => typedText(at, timeZone) === wanted);
}

function offsetAt(at: number, timeZone: string): number {
  return Date.parse(`${typedText(at, timeZone)}Z`) - Math.floor(at / 1000) * 1000;
}
