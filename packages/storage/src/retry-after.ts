// The Retry-After header (RFC 9110, section 10.2.3): how long a server that is overloaded wants to be left alone.

/** In milliseconds; undefined when there is none, or it says nothing. `now` is for the form that is a date. */
export function retryAfterOf(header: unknown, now: Date = new Date()): number | undefined {
  const text = Array.isArray(header) ? (header[0] as unknown) : header;
  if (typeof text !== 'string' || text.trim() === '') return undefined;
  const value = text.trim();
  if (/^\d+$/.test(value)) return Number(value) * 1000;
  const time = Date.parse(value);
  return Number.isNaN(time) ? undefined : Math.max(0, time - now.getTime());
}
