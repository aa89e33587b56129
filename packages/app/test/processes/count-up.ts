// Adds 1 to a counter in the catalogue so many times, reading and writing in one transaction.
// Arguments: path of the catalogue, name of this writer, how many times.

import { openCatalogue } from '../../src/catalogue/catalogue.ts';

const [path = '', , times = '0'] = process.argv.slice(2);
await using catalogue = openCatalogue(path);
for (let turn = 0; turn < Number(times); turn++) {
  await catalogue.write(async (queries) => {
    const row = await queries
      .selectFrom('settings')
      .select('value_json')
      .where('key', '=', 'counter')
      .executeTakeFirst();
    const next = Number(row?.value_json ?? '0') + 1;
    await queries
      .replaceInto('settings')
      .values({ key: 'counter', value_json: String(next) })
      .execute();
  });
}
