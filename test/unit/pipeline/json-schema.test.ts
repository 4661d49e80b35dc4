import { describe, expect, it } from 'vitest';
import { pipelineJsonSchema } from '../../../coordinator/pipeline/json-schema.js';
import {
  artifactShape,
  pipelineShape,
  serviceShape,
  stageShape,
  stepShape,
} from '../../../coordinator/pipeline/schema.js';
import { buildShape } from '../../../coordinator/pipeline/schema-build.js';
import { notifyShape, onShape } from '../../../coordinator/pipeline/schema-top.js';

interface Found {
  readonly keys: string;
  readonly undescribed: readonly string[];
  readonly closed: boolean;
}

/** Every object with fixed keys, however deep. */
function objectsIn(schema: unknown): Found[] {
  if (Array.isArray(schema)) return schema.flatMap(objectsIn);
  if (typeof schema !== 'object' || schema === null) return [];
  const below = Object.values(schema).flatMap(objectsIn);
  if (!('properties' in schema) || typeof schema.properties !== 'object' || schema.properties === null)
    return below;
  const properties: [string, unknown][] = Object.entries(schema.properties);
  const undescribed = properties.filter(
    ([, property]) => typeof property !== 'object' || property === null || !('description' in property),
  );
  return [
    {
      keys: properties.map(([key]) => key).join(' '),
      undescribed: undescribed.map(([key]) => key),
      closed: 'additionalProperties' in schema && schema.additionalProperties === false,
    },
    ...below,
  ];
}

describe('the JSON Schema for editors', () => {
  const objects = objectsIn(pipelineJsonSchema());

  it('has the keys that files may have, and no others', () => {
    const shapes = [
      pipelineShape,
      onShape,
      notifyShape,
      stageShape,
      stepShape,
      buildShape,
      serviceShape,
      artifactShape,
    ];
    for (const shape of shapes) {
      const found = objects.find((object) => object.keys === Object.keys(shape).join(' '));
      expect(found, Object.keys(shape).join(' ')).toMatchObject({ closed: true });
    }
    expect(objects).toHaveLength(shapes.length);
  });

  it('describes each key', () => {
    expect(objects.flatMap((object) => object.undescribed)).toEqual([]);
  });

  it('is what editors can read: draft 7, as JSON', () => {
    const schema = pipelineJsonSchema();
    expect(JSON.parse(JSON.stringify(schema))).toEqual(schema);
    expect(schema).toMatchObject({
      $schema: 'http://json-schema.org/draft-07/schema#',
      type: 'object',
      required: ['stages'],
      properties: { stages: { type: 'object', additionalProperties: { required: ['steps'] } } },
    });
  });
});
