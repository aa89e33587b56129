// The content of the demonstration's business app: customers, orders and invoices in PostgreSQL, invoice files, and a git
// checkout with two commits. Everything is made from one seed, so that two runs hold the same data.

import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { execa } from 'execa';
import type { Client } from 'pg';

export const customerCount = 400;
export const orderCount = 6000;
export const invoiceCount = 300;

const schema = `
CREATE TABLE customer (id integer PRIMARY KEY, name text NOT NULL, city text NOT NULL);
CREATE TABLE sales_order (
  id integer PRIMARY KEY,
  customer_id integer NOT NULL REFERENCES customer,
  ordered_on date NOT NULL,
  total numeric(12, 2) NOT NULL CHECK (total > 0)
);
CREATE INDEX sales_order_customer ON sales_order (customer_id);
CREATE TABLE invoice (id integer PRIMARY KEY, order_id integer NOT NULL REFERENCES sales_order, file text NOT NULL UNIQUE);
`;

const content = `
INSERT INTO customer
SELECT n, 'Customer ' || n, (ARRAY['Lima', 'Madrid', 'Bogotá', 'Zürich', 'Córdoba'])[1 + n % 5]
FROM generate_series(1, ${customerCount}) AS n;
INSERT INTO sales_order
SELECT n, 1 + n * 7919 % ${customerCount}, date '2026-01-01' + n % 300, 10 + n * 104729 % 990000 / 100.0
FROM generate_series(1, ${orderCount}) AS n;
INSERT INTO invoice
SELECT n, n * 13, 'invoices/2026/' || lpad(n::text, 5, '0') || '.txt' FROM generate_series(1, ${invoiceCount}) AS n;
`;

/** Creates the tables and fills them. */
export async function fillDatabase(client: Client): Promise<void> {
  await client.query(schema);
  await client.query(content);
}

/** Writes the invoice files below `folder`. */
export async function writeInvoiceFiles(folder: string): Promise<void> {
  await mkdir(join(folder, 'invoices', '2026'), { recursive: true });
  for (let number = 1; number <= invoiceCount; number++) {
    const name = String(number).padStart(5, '0');
    const lines = Array.from(
      { length: 40 + (number % 60) },
      (_, line) => `${name};${line};${(number * 31 + line * 7) % 997}`,
    );
    await writeFile(join(folder, 'invoices', '2026', `${name}.txt`), `Invoice ${name}\n${lines.join('\n')}\n`);
  }
}

const git = (folder: string, ...parameters: string[]) =>
  execa(
    'git',
    ['-c', 'user.name=Demo', '-c', 'user.email=demo@example.invalid', '-c', 'safe.directory=*', ...parameters],
    {
      cwd: folder,
      env: { GIT_CONFIG_GLOBAL: '/dev/null', GIT_CONFIG_SYSTEM: '/dev/null' },
    },
  );

/** Makes the git checkout: two commits on branch main. */
export async function writeCode(folder: string): Promise<void> {
  await mkdir(folder, { recursive: true });
  await git(folder, 'init', '--quiet', '--initial-branch=main');
  await writeFile(join(folder, 'price.py'), 'def price(net):\n    return net * 1.18\n');
  await git(folder, 'add', '.');
  await git(folder, 'commit', '--quiet', '--message', 'Price with tax');
  await writeFile(
    join(folder, 'discount.py'),
    'def discount(total):\n    return total * 0.95 if total > 1000 else total\n',
  );
  await git(folder, 'add', '.');
  await git(folder, 'commit', '--quiet', '--message', 'Discount for large orders');
}

/** The deploy that goes wrong: a commit that gives everything away. */
export async function deployBadCommit(folder: string): Promise<void> {
  await writeFile(join(folder, 'price.py'), 'def price(net):\n    return 0\n');
  await git(folder, 'commit', '--quiet', '--all', '--message', 'Faster prices');
}

/** Abbreviated id and subject of the commit that is checked out. */
export async function readCommit(folder: string): Promise<{ id: string; subject: string }> {
  const { stdout } = await git(folder, 'log', '-1', '--format=%h %s');
  const space = stdout.indexOf(' ');
  return { id: stdout.slice(0, space), subject: stdout.slice(space + 1) };
}
