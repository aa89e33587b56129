// Changes how a database of an app is saved, from its next snapshot on.

import { AppError } from '@varve/base';
import type { App, DatabaseChange, DatabaseComponent } from '@varve/contract';

/** The app with the change. APP_INVALID for no such database, or when its files could never be put back. Pure. */
export function changeDatabase(app: App, name: string, change: DatabaseChange): App {
  const databases = app.components.filter((component) => component.kind === 'database');
  const found = databases.find((component) => component.name === name);
  if (found === undefined) {
    const names = databases.map((component) => component.name).join(', ');
    throw new AppError('APP_INVALID', `The app ${app.id} has no database "${name}".`, {
      hint: names === '' ? 'It has no database at all.' : `It has: ${names}.`,
    });
  }
  const changed = apply(found, change);
  if (changed.method === 'base' && changed.source.type === 'url' && changed.dataDirectory === undefined) {
    throw new AppError('APP_INVALID', `The data folder of the database ${name} is not known.`, {
      hint: 'Its files alone could not be put back. Use the method "both", or add the app again with the data folder.',
    });
  }
  return { ...app, components: app.components.map((component) => (component === found ? changed : component)) };
}

function apply(component: DatabaseComponent, change: DatabaseChange): DatabaseComponent {
  const { maxRateKBps: oldRate, ...rest } = component;
  const { method = component.method, maxRateKBps = oldRate, readThrough = component.readThrough } = change;
  return {
    ...rest,
    method,
    ...(readThrough === undefined ? {} : { readThrough }),
    ...(maxRateKBps === undefined || maxRateKBps === null ? {} : { maxRateKBps }),
  };
}
