// Times for people: relative for a glance, absolute in the zone of the machine.

/** `2026-11-23 04:05:06` in the machine's time zone. */
export function absoluteTime(time: Date | string): string {
  const date = new Date(time);
  const two = (value: number): string => String(value).padStart(2, '0');
  const day = `${date.getFullYear()}-${two(date.getMonth() + 1)}-${two(date.getDate())}`;
  return `${day} ${two(date.getHours())}:${two(date.getMinutes())}:${two(date.getSeconds())}`;
}

const units: readonly { readonly name: string; readonly seconds: number }[] = [
  { name: 'year', seconds: 365 * 86_400 },
  { name: 'month', seconds: 30 * 86_400 },
  { name: 'day', seconds: 86_400 },
  { name: 'hour', seconds: 3600 },
  { name: 'minute', seconds: 60 },
];

/** `just now`, `3 hours ago`, `in 5 minutes`. */
export function relativeTime(time: Date | string, now: Date): string {
  const seconds = (now.getTime() - new Date(time).getTime()) / 1000;
  const size = Math.abs(seconds);
  const unit = units.find((candidate) => size >= candidate.seconds);
  if (!unit) return seconds >= 0 ? 'just now' : 'in a moment';
  const count = Math.floor(size / unit.seconds);
  const text = `${count} ${unit.name}${count === 1 ? '' : 's'}`;
  return seconds >= 0 ? `${text} ago` : `in ${text}`;
}

/** `3 hours ago (2026-11-23 04:05:06)`. */
export function timeForPeople(time: Date | string, now: Date): string {
  return `${relativeTime(time, now)} (${absoluteTime(time)})`;
}
