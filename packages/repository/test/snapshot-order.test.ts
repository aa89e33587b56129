import fc from 'fast-check';
import { expect, test } from 'vitest';
import { snapshotTimeNs, sortSnapshots, type Snapshot } from '../src/snapshot/snapshot.ts';
import { formatGoTime } from '../src/store/go-time.ts';

test('snapshots are ordered by time, whatever zones and digits their times have, then by id', () => {
  const time = fc
    .record({
      ms: fc.integer({ min: 0, max: 3000 }),
      zone: fc.constantFrom(0, 60, -60, 330, -210),
      more: fc.constantFrom('', '1', '000001', '999999'),
    })
    .map(({ ms, zone, more }) => {
      const text = formatGoTime(new Date(1.7e12 + ms), zone);
      // More digits of the fraction, where there is one of milliseconds.
      return text.replace(/(\.\d{3})(?!\d)/, `$1${more}`);
    });
  const snapshots = fc
    .array(time, { maxLength: 40 })
    .map((times) =>
      times.map((text, number): Snapshot => ({ id: String(number * 7919), time: text, tree: '', paths: [] })),
    );
  fc.assert(
    fc.property(snapshots, (list) => {
      const expected = list.toSorted((a, b) => {
        const [first, second] = [snapshotTimeNs(a), snapshotTimeNs(b)];
        if (first !== second) return first < second ? -1 : 1;
        return a.id < b.id ? -1 : 1;
      });
      expect(sortSnapshots(list)).toEqual(expected);
    }),
    { numRuns: 300 },
  );
});
