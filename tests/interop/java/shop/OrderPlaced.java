package shop;

public record OrderPlaced(String id, String customer, int total) {}
