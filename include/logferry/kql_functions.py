"""The functions a KQL pipeline may call: those whose answer is decided by their arguments alone.

The scalar functions of https://learn.microsoft.com/kusto/query/scalar-functions under all their names, without
those that look at the clock, at chance, at other rows, at other tables or at who asks. What is not listed is
refused: a name that KQL does not know is a saved function, whose content nobody here can judge.
"""

from __future__ import annotations

import re

LITERALS = frozenset({
    "bool", "boolean", "date", "datetime", "decimal", "double", "dynamic", "guid", "int", "long", "real",
    "string", "time", "timespan", "typeof", "uuid", "uniqueid",
})  # fmt: skip
"""Names of types, which stand before a bracket in literals such as ``datetime(2026-11-20)``."""

_CONVERSION = """
    convert_angle convert_energy convert_force convert_length convert_mass convert_speed convert_temperature
    convert_volume gettype tobool toboolean todatetime todecimal todouble todynamic toguid tohex toint tolong
    toobject toreal tostring totime totimespan
"""
_CONDITION = """
    case coalesce column_ifexists columnifexists iff iif iscolumnexists isempty isnotempty isnotnull isnull
    max_of min_of not notempty notnull
"""
_TEXT = """
    array_strcat base64_decode_toarray base64_decode_toguid base64_decode_tostring base64_decodestring
    base64_encode_fromarray base64_encode_fromguid base64_encode_tostring base64_encodestring countof extract
    extract_all extract_json extractall extractjson format_bytes gzip_compress_to_base64_string
    gzip_decompress_from_base64_string has_any_index indexof indexof_regex isascii isutf8 make_string
    parse_command_line parse_csv parse_json parse_path parse_url parse_urlquery parse_user_agent parse_version
    parse_xml parsejson parseurl parseurlquery punycode_domain_from_string punycode_domain_to_string
    punycode_from_string punycode_to_string regex_quote replace replace_regex replace_string replace_strings
    reverse split strcat strcat_array strcat_delim strcmp string_size strlen strrep substring to_utf8 tolower
    toupper translate trim trim_end trim_start unicode_codepoints_from_string unicode_codepoints_to_string
    url_decode url_encode url_encode_component zlib_compress_to_base64_string
    zlib_decompress_from_base64_string
"""
_TIME = """
    around bin bin_at ceiling datepart datetime_add datetime_diff datetime_list_timezones
    datetime_local_to_utc datetime_part datetime_utc_to_local dayofmonth dayofweek dayofyear endofday
    endofmonth endofweek endofyear floor format_datetime format_timespan getmonth getyear hourofday
    ingestion_time make_datetime make_timespan monthofyear startofday startofmonth startofweek startofyear
    unixtime_microseconds_todatetime unixtime_milliseconds_todatetime unixtime_nanoseconds_todatetime
    unixtime_seconds_todatetime week_of_year weekofyear
"""
_NUMBER = """
    abs acos asin atan atan2 beta_cdf beta_inv beta_pdf binary_and binary_not binary_or binary_shift_left
    binary_shift_right binary_xor bitset_count_ones cos cot degrees erf erfc exp exp10 exp2 gamma isfinite
    isinf isnan log log10 log2 loggamma pi pow radians round sign sin sqrt tan welch_test
"""
_HASH = "hash hash_combine hash_many hash_md5 hash_sha1 hash_sha256 hash_xxhash64"
_DYNAMIC = """
    array_concat array_iff array_iif array_index_of array_length array_reverse array_rotate_left
    array_rotate_right array_shift_left array_shift_right array_slice array_sort_asc array_sort_desc
    array_split array_sum arraylength bag_has_key bag_keys bag_merge bag_pack bag_pack_columns
    bag_remove_keys bag_set_key bag_zip dynamic_to_json jaccard_index pack pack_array pack_dictionary range
    repeat set_difference set_equals set_has_element set_intersect set_union treepath zip
"""
_NETWORK = """
    format_ipv4 format_ipv4_mask has_any_ipv4 has_any_ipv4_prefix has_ipv4 has_ipv4_prefix ipv4_compare
    ipv4_is_in_any_range ipv4_is_in_range ipv4_is_match ipv4_is_private ipv4_netmask_suffix
    ipv4_range_to_cidr_list ipv6_compare ipv6_is_in_any_range ipv6_is_in_range ipv6_is_match parse_ipv4
    parse_ipv4_mask parse_ipv6 parse_ipv6_mask
"""
_SERIES = """
    series_abs series_acos series_add series_asin series_atan series_ceiling series_cos
    series_cosine_similarity series_decompose series_decompose_anomalies series_decompose_forecast
    series_divide series_dot_product series_equals series_exp series_fft series_fill_backward
    series_fill_const series_fill_forward series_fill_linear series_fir series_fit_2lines
    series_fit_2lines_dynamic series_fit_line series_fit_line_dynamic series_fit_poly series_floor
    series_greater series_greater_equals series_ifft series_iir series_less series_less_equals series_log
    series_magnitude series_multiply series_not_equals series_outliers series_pearson_correlation
    series_periods_detect series_periods_validate series_pow series_product series_seasonal series_sign
    series_sin series_stats series_stats_dynamic series_subtract series_sum series_tan
"""
_PLACE = """
    geo_angle geo_azimuth geo_closest_point_on_line geo_closest_point_on_polygon geo_distance_2points
    geo_distance_point_to_line geo_distance_point_to_polygon geo_from_wkt geo_geohash_neighbors
    geo_geohash_to_central_point geo_geohash_to_polygon geo_h3cell_children geo_h3cell_level
    geo_h3cell_neighbors geo_h3cell_parent geo_h3cell_rings geo_h3cell_to_central_point geo_h3cell_to_polygon
    geo_intersection_2lines geo_intersection_2polygons geo_intersection_line_with_polygon
    geo_intersects_2lines geo_intersects_2polygons geo_intersects_line_with_polygon geo_line_buffer
    geo_line_centroid geo_line_densify geo_line_interpolate_point geo_line_length geo_line_locate_point
    geo_line_simplify geo_line_to_s2cells geo_point_buffer geo_point_in_circle geo_point_in_polygon
    geo_point_to_geohash geo_point_to_h3cell geo_point_to_s2cell geo_polygon_area geo_polygon_buffer
    geo_polygon_centroid geo_polygon_densify geo_polygon_perimeter geo_polygon_simplify
    geo_polygon_to_h3cells geo_polygon_to_s2cells geo_s2cell_neighbors geo_s2cell_to_central_point
    geo_s2cell_to_polygon geo_simplify_polygons_array geo_union_lines_array geo_union_polygons_array
"""
FUNCTIONS = frozenset(
    " ".join(
        (_CONVERSION, _CONDITION, _TEXT, _TIME, _NUMBER, _HASH, _DYNAMIC, _NETWORK, _SERIES, _PLACE)
    ).split()
)
"""Every function that may be called."""

_CLOCK = "its answer changes with the time it is asked; Logferry cuts the time itself"
_CHANCE = "its answer is different every time"
_ORDER = "it depends on the order of rows, and a query cut by time has none"
_ELSEWHERE = "it reads another table or workspace; an export reads one table, row by row"
_WHO = "its answer depends on who asks or from where"
_STORED = "it depends on where the service stores the row, which moves"
_OWN_COLUMNS = "it would look into Logferry's own columns too"

FORBIDDEN = {
    "now": _CLOCK, "ago": _CLOCK,
    "rand": _CHANCE, "new_guid": _CHANCE,
    "prev": _ORDER, "next": _ORDER,
    "table": _ELSEWHERE, "database": _ELSEWHERE, "cluster": _ELSEWHERE, "workspace": _ELSEWHERE,
    "app": _ELSEWHERE, "resource": _ELSEWHERE, "adx": _ELSEWHERE, "arg": _ELSEWHERE,
    "externaldata": _ELSEWHERE, "external_table": _ELSEWHERE, "materialized_view": _ELSEWHERE,
    "stored_query_result": _ELSEWHERE, "entity_group": _ELSEWHERE, "graph": _ELSEWHERE,
    "toscalar": _ELSEWHERE, "materialize": _ELSEWHERE, "view": _ELSEWHERE, "union": _ELSEWHERE,
    "datatable": _ELSEWHERE,
    "bin_auto": "its answer depends on a setting of the request; use bin() with the size written out",
    "geo_info_from_ip_address": "its answer changes with the service's table of addresses; export the address",
    "pack_all": f"{_OWN_COLUMNS}; name the columns with bag_pack()",
    "estimate_data_size": f"{_OWN_COLUMNS}; add up string_size() of the columns",
}  # fmt: skip
"""Functions of KQL that no pipeline may call, and why."""
_FORBIDDEN_FAMILIES = (
    (re.compile(r"row_.*|rowstore_.*"), _ORDER),
    (re.compile(r"cursor_.*|current_cursor"), _CLOCK),
    (re.compile(r"current_.*"), _WHO),
    (re.compile(r"extent_?id|extent_.*"), _STORED),
)
_UNKNOWN = (
    "it is not one of KQL's functions of a single row "
    "(https://learn.microsoft.com/kusto/query/scalar-functions); a saved function's content can change or read "
    "other tables, so write it out"
)


def why_refused(name: str) -> str | None:
    """Why a pipeline may not call the function, as the end of a sentence; None when it may."""
    if name in FUNCTIONS or name in LITERALS:
        return None
    families = (why for family, why in _FORBIDDEN_FAMILIES if family.fullmatch(name))
    return FORBIDDEN.get(name) or next(families, _UNKNOWN)
